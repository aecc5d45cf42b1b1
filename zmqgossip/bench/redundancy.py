"""Redundancy: how many copies of a message a peer gets beyond the first, once trees have been found, while everybody publishes.

Counts do not depend on the moment, and a tree takes its time to grow. So here the systems take turns as a whole: each is started once,
publishes for ten seconds, and is then counted in as many rounds as wanted. The flood runs on the links of the first network.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from zmqgossip.bench import networks
from zmqgossip.bench.account import Account, listeners
from zmqgossip.bench.board import STOP
from zmqgossip.bench.catalogue import COLLISION, ONE_PARENT, OURS, REDUNDANT
from zmqgossip.bench.crew import Crew, tell_all
from zmqgossip.bench.figures import ratio, rounded, spread
from zmqgossip.bench.networks import Links
from zmqgossip.bench.task import Facts, Task

RATE = 5.0
"""Messages a second and peer: so few that each goes in a segment of its own."""
SETTLE_S = 10.0
ROUND_S = 2.0
PARENTS = {OURS: 2, ONE_PARENT: 1, COLLISION: 2}
IN_ONE_BUCKET = {COLLISION: 2}
COPIES = ("duplicates.known", "duplicates.own", "duplicates.pulled")
COLLISIONS = "duplicates.bucket_collision"
PULLS = "pulls.sent"


@dataclass(slots=True)
class Round:
    """Counts of all peers together, in one round. The flood does not know why a copy came, so all its copies are `copies`."""

    received: int
    copies: int
    collisions: int
    pulls: int

    def a_message(self, count: int) -> float:
        return count / max(1, self.received)


def measure(task: Task) -> Facts:
    """All systems; the document that --json prints."""
    found: dict[str, tuple[list[Round], Account]] = {}
    links: Links = []
    for turn, system in enumerate(sorted(task.systems, key=REDUNDANT.index)):
        with Crew(task.peers) as crew:
            task.step(f"{system}: {task.peers} peers start, and find their trees", turn / len(task.systems))
            if system == "flood":
                networks.assemble_flood(crew, links or networks.found_links(task.peers))
            else:
                protocol = {"parents": PARENTS[system]}
                together = IN_ONE_BUCKET.get(system, 0)
                networks.assemble_gossip(crew, task.peers, all_listen=True, in_one_bucket=together, protocol=protocol)
                links = links or networks.links_of(crew)
            found[system] = run(crew, task)
    return document(task, links, found)


def run(crew: Crew, task: Task) -> tuple[list[Round], Account]:
    """Counts one system whose network stands, and accounts for every message that was made."""
    for place, child in enumerate(crew.stations):
        child.begin("chat", {"place": place, "rate": RATE, "size": task.size})
    time.sleep(task.seconds or SETTLE_S)
    rounds = []
    before = tell_all(crew.stations, "stats")
    for _ in range(task.rounds):
        time.sleep(task.seconds or ROUND_S)
        after = tell_all(crew.stations, "stats")
        rounds.append(counted(before, after))
        before = after
    crew.board.row(0)[STOP] = 1
    everybody = list(enumerate(crew.stations))
    return rounds, listeners(everybody, everybody)


def counted(before: Sequence[Facts], after: Sequence[Facts]) -> Round:
    """What the counters say of the time between."""

    def grown(*names: str) -> int:
        return sum(now.get(name, 0) - then.get(name, 0) for name in names for now, then in zip(after, before, strict=True))

    return Round(grown("received", "received.messages"), grown("copies", *COPIES), grown(COLLISIONS), grown(PULLS))


def document(task: Task, links: Links, found: dict[str, tuple[list[Round], Account]]) -> Facts:
    """What all rounds say together; copies, collisions and pulls are by the messages received.

    zmqgossip is compared with others by all its copies, whatever made them.
    """
    copies = {system: [one.a_message(one.copies) for one in rounds] for system, (rounds, _) in found.items()}
    everything = {system: [one.a_message(one.copies + one.collisions) for one in rounds] for system, (rounds, _) in found.items()}
    others = [system for system in found if OURS in found and system != OURS]
    return {
        "peers": task.peers,
        "size": task.size,
        "degree": rounded(networks.degree(links)),
        "copies_leave_out": "collisions",
        "systems": {
            system: {
                "copies": rounded(median(copies[system])),
                "collisions": rounded(median(one.a_message(one.collisions) for one in rounds)),
                "copies_all": rounded(median(everything[system])),
                "pulls": rounded(median(one.a_message(one.pulls) for one in rounds)),
                "lost": account.lost,
                "duplicates": account.duplicates,
                "spread": rounded(spread(everything[system])),
            }
            for system, (rounds, account) in found.items()
        },
        "ratios": {system: rounded(ratio(everything[OURS], everything[system])) for system in others},
    }
