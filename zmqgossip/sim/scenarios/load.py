"""D6: one source publishes more than the slowest peer takes. Who waits for whom, for how long, and what becomes of the slow one?

A simulated processor has no speed, so slowness is a process that is stopped most of the time while its kernel goes on. Pipes and rates
are a tenth of the real ones: what counts is how long a pipe lasts, and that is the same.
"""

from __future__ import annotations

from dataclasses import replace

from zmqgossip.core.config import DEFAULT
from zmqgossip.sim.scenario import Must, Plan, Pour, Say, Scenario, Slowdown, Stall, Step, Variant, Wait
from zmqgossip.sim.scenarios.dissemination import LINKS

PIPE = 60
PER_S = 100.0
"""Messages, a segment each. The window is half a pipe."""
SLOW_AFTER_S = DEFAULT.slow_after_s
PAUSE_S = 40.0
CREEP_S = 2.0
"""A peer that works a moment in every two seconds takes 30 messages in that time, where 200 are offered."""
JUDGED_S = {"paused": SLOW_AFTER_S + 3, "creeping": 4 * SLOW_AFTER_S}
"""When others must have their full rate again: whoever stands still is found out at once, who creeps by what the last 20 s show."""


def _overload(peers: int) -> Plan:
    """The default profile: there a process that stops for half a minute is slow, in `lan` it is dead."""
    config = replace(DEFAULT, pipe_segments=PIPE)
    variants = []
    for name, fault in (("creeping", Slowdown(PAUSE_S, CREEP_S)), ("paused", Stall(PAUSE_S - 10))):
        steps: tuple[Step, ...] = (
            Say("", 1, 20, 0.25, learns=True),
            Pour("before", PER_S, 3),
            fault,
            Pour("waiting", PER_S, SLOW_AFTER_S),
            Pour("", PER_S, JUDGED_S[name] - SLOW_AFTER_S),
            Pour("going on", PER_S, 10),
            Wait(90),
        )
        variants.append(Variant(f"one {name}", peers, steps, config, LINKS, pipe_max=PIPE))
    rows = []
    for variant in variants:
        name = variant.name
        others = "PUB loses 35,500 of 40,000 silently"
        rows += [
            Must(f"{name}: messages/s before", f"{name}/before.per_s"),
            Must(f"{name}: the publisher is slowed at first, messages/s", f"{name}/waiting.per_s", most=0.9, of=f"{name}/before.per_s"),
            Must(f"{name}: when it is found slow, messages/s", f"{name}/going on.per_s", least=0.95, of=f"{name}/before.per_s"),
            Must(f"{name}: p99 ms then", f"{name}/going on.p99_ms"),
            Must(f"{name}: lost at the others", f"{name}/end.lost_elsewhere", most=0, others=others),
            Must(f"{name}: lost in silence, anywhere", f"{name}/end.lost_in_silence", most=0),
            Must(f"{name}: lost by name, at the slow one", f"{name}/end.lost_by_name"),
            Must(f"{name}: most kept for repair, KiB", f"{name}/end.kept_kib"),
        ]
    return Plan(tuple(variants), tuple(rows), ("before", "waiting", "going on"))


SCENARIOS = (Scenario("D6", "a source that is faster than the slowest peer", 100, 100, 6, _overload),)
