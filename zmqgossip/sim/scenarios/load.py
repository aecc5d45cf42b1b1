"""D6: one source publishes more than the slowest peer takes. Who waits for whom, for how long, and what becomes of the slow one?

A simulated processor has no speed, so slowness is a process that is stopped most of the time while its kernel goes on. Pipes and rates
are a tenth of the real ones: what counts is how long a pipe lasts, and that is the same.
"""

from __future__ import annotations

from dataclasses import replace

from zmqgossip.core.config import LAN
from zmqgossip.sim.scenario import Must, Plan, Pour, Say, Scenario, Slowdown, Stall, Step, Variant, Wait
from zmqgossip.sim.scenarios.dissemination import LINKS

PIPE = 60
PER_S = 100.0
"""Messages, a segment each. The window is half a pipe, so a peer that answers twice a second has it down to 60."""
SLOW_AFTER_S = LAN.slow_after_s
PAUSE_S = 30.0


def _overload(peers: int) -> Plan:
    config = replace(LAN, pipe_segments=PIPE)
    begins = (Say("", 1, 20, 0.25, learns=True), Pour("before", PER_S, 3))
    waits = Pour("waiting", PER_S, SLOW_AFTER_S)
    rest_s = PAUSE_S - SLOW_AFTER_S - 3
    goes_on: tuple[Step, ...] = (Pour("", PER_S, 3), Pour("going on", PER_S, rest_s, quiet_s=0), Wait(15))
    variants = tuple(
        Variant(name, peers, (*begins, fault, waits, *goes_on), config, LINKS, pipe_max=PIPE)
        for name, fault in (("slow peer", Slowdown(PAUSE_S, 0.5)), ("paused peer", Stall(PAUSE_S)))
    )
    rows = []
    for variant in variants:
        name = variant.name
        others = "PUB loses 35,500 of 40,000 silently"
        rows += [
            Must(f"{name}: messages/s before", f"{name}/before.per_s"),
            Must(f"{name}: the publisher is slowed at first, messages/s", f"{name}/waiting.per_s", most=0.9, of=f"{name}/before.per_s"),
            Must(f"{name}: after slow_after_s, messages/s", f"{name}/going on.per_s", least=0.95, of=f"{name}/before.per_s"),
            Must(f"{name}: p99 ms then", f"{name}/going on.p99_ms"),
            Must(f"{name}: lost at the others", f"{name}/end.lost_elsewhere", most=0, others=others),
            Must(f"{name}: lost in silence, anywhere", f"{name}/end.lost_in_silence", most=0),
            Must(f"{name}: lost by name, at the slow one", f"{name}/end.lost_by_name"),
            Must(f"{name}: most kept for repair, KiB", f"{name}/end.kept_kib"),
        ]
    return Plan(variants, tuple(rows), ("before", "waiting", "going on"))


SCENARIOS = (Scenario("d6", "a source that is faster than the slowest peer", 100, 100, 6, _overload),)
