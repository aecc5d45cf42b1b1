"""D3 and D5: many peers are killed at one instant. Whom does gossip still reach, at once and after a while, and what does repair cost?"""

from __future__ import annotations

from zmqgossip.core.config import LAN
from zmqgossip.sim.scenario import ANYBODY, Kill, Must, Plan, Recover, Say, Scenario, Variant
from zmqgossip.sim.scenarios.dissemination import LINKS

# -- D3 -------------------------------------------------------------------------------------------------------------------

LEAST = {10: 99.5, 20: 99.5, 30: 99.5, 40: 99.5, 50: 99.5, 60: 99.5, 70: 99.5, 80: 98.0, 90: 95.0, 95: 90.0}
"""Per cent killed -> per cent of survivors that a broadcast must reach in the mean, before any periodic step."""
HYPARVIEW = {80: "HyParView about 100", 90: "HyParView about 100, Cyclon and Scamp collapsed", 95: "HyParView about 90 (*)"}
RECOVERED_S = 8.0


def _killed(peers: int) -> Plan:
    """Periodic steps are off: what holds the survivors together is what each does when a connection drops."""
    variants, rows = [], []
    for percent, least in LEAST.items():
        name = f"{percent} % killed"
        steps = (Kill(percent / 100), Say("broken", ANYBODY, 100, 0.1, quiet_s=1), Recover("mended", RECOVERED_S))
        variants.append(Variant(name, peers, steps, LAN, LINKS, periodic=False))
        others = HYPARVIEW.get(percent, "HyParView about 100" + ("; Cyclon, Scamp collapse" if percent >= 50 else ""))
        rows += [
            Must(f"{name}: reach %, mean of 100 broadcasts", f"{name}/broken.reach", least=least, others=others),
            Must(f"{name}: of it within a second", f"{name}/broken.within_1s"),
            Must(f"{name}: everybody has everything again after s", f"{name}/mended.whole_s", most=RECOVERED_S),
            Must(f"{name}: reach % then, worst message", f"{name}/mended.reach_min", least=100),
            Must(f"{name}: earlier broadcasts in the end, %", f"{name}/broken.final"),
            Must(f"{name}: survivors in more than one part", f"{name}/end.split", most=0),
        ]
    at_once = [(float(percent), f"{percent} % killed/broken.reach") for percent in LEAST]
    again = [(float(percent), f"{percent} % killed/mended.reach") for percent in LEAST]
    return Plan(tuple(variants), tuple(rows), curves={"before periodic steps": at_once, "with them": again})


# -- D5 -------------------------------------------------------------------------------------------------------------------


def _crash(peers: int) -> Plan:
    steps = (
        Say("", 10, 20, 0.25, learns=True),
        Say("before", 10, 20, 0.25),
        Kill(0.0, but=10),
        Say("first", 10, 1, 1.0),
        Say("repair", 10, 39, 0.25),
        Say("after", 10, 20, 0.25, quiet_s=3),
    )
    variants, rows = [], []
    for percent in (10, 30):
        name = f"{percent} % killed"
        these = tuple(Kill(percent / 100, but=10) if isinstance(step, Kill) else step for step in steps)
        variants.append(Variant(name, peers, these, LAN, LINKS, ("plumtree",)))
        rows += [
            *(
                Must(f"{name}: delivered to survivors %, worst, {what}", f"{name}/{phase}.final_min", least=100)
                for what, phase in (("first message", "first"), ("2 to 40", "repair"), ("41 to 60", "after"))
            ),
            Must(f"{name}: p99 ms of messages 41 to 60", f"{name}/after.p99_ms", most=1.35, of=f"{name}/before.p99_ms"),
            Must(f"{name}: p99 ms of messages 2 to 40", f"{name}/repair.p99_ms"),
            Must(f"{name}: pulls for the first message", f"{name}/first.pulls", others="Plumtree 221-287, two parents 8-154"),
            Must(f"{name}: Plumtree's grafts for it, here", f"{name}/plumtree.first.pulls"),
            Must(f"{name}: RMR of messages 41 to 60", f"{name}/after.rmr"),
        ]
    return Plan(tuple(variants), tuple(rows), ("before", "first", "after"))


SMALLER_D3 = "run with 1,000 peers: ten worlds of 10,000, in which 45,500 survivors get 100 broadcasts each, take more than half an hour"

SCENARIOS = (
    Scenario("D3", "10 to 95 % killed at once", 1_000, 10_000, 40, _killed, ("% killed", "% of survivors reached"), SMALLER_D3),
    Scenario("D5", "10 % and 30 % killed while ten sources publish", 1_000, 1_000, 20, _crash),
)
