"""What happens in the demo, chapter by chapter, and the words for it.

The intuition: the story waits for what it tells. Nothing is said to have happened because some time went by; every sentence stands
for a line that a process has written, or for what the seeds answer. So on a slow machine the story takes longer, and says the same.

Left to others: processes and files (`demo_network.py`), counting and proving (`demo_account.py`), printing and the verdict (`demo.py`).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from zmqgossip.cli.demo_account import (
    Account,
    Life,
    Message,
    longest_path,
    port_of,
    prove_dead_report,
    prove_everybody,
    prove_leave,
    prove_passed_on,
    seen_by_all,
    settle,
)
from zmqgossip.cli.demo_network import CLUSTER, SEEDS, Network, PeerNode
from zmqgossip.cli.demo_ports import HOST

if TYPE_CHECKING:
    from zmqgossip.runtime.query import Answer

POLL_S = 0.05
QUERY_S = 0.2  # loopback answers in milliseconds; a seed that does not is asked again
SETTLE_S = 3.0  # what is still on its way at the end arrives by then, or is lost
HURRIED_SETTLE_S = 0.1
JOIN_MAX_S = 30.0  # a machine that takes longer for the joining of a few processes is stuck
CHAPTER_S = 10.0  # what a chapter may take beyond the planned end: three missed probes and a verdict take 5 s in profile lan
GOODBYE_S = 2.0  # a goodbye is heard within milliseconds, and its process ends within a second
JOIN_LINE_S = 1.0
PROGRESS_S = 4.0
DIRECT = 2  # the length of a way from the maker to a neighbour
GAP_S = 0.2  # a peer is ended at least so long before its next message is due
END_S = 1.0  # of the duration, kept for the account and for ending the processes
MESSAGES = 10
MESSAGES_RETURNED = 3
EVERY_MIN_S, EVERY_MAX_S = 0.5, 2.0
SPREAD = 0.75  # of the duration: the last message is made by then

_EVIDENCE = {"refused": "nothing answers on its port any more", "misses": "it has missed three probes in a row"}


class Say(Protocol):
    """Prints one line of the story: `kind` and `facts` are for programs, `text` for people. Its clock is the story's."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first line."""

    def __call__(self, kind: str, text: str, **facts: Any) -> None: ...


class Enough(Exception):
    """Ctrl-C or SIGTERM: the story ends here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen when, in seconds since the start."""

    peers: int
    messages: int
    every_s: float
    pause_s: float
    leave_at_s: float
    end_at_s: float


def joining_s(peers: int) -> float:
    """How long so many processes take to be ready on two busy cores: a quarter of a second each to start Python, and one more."""
    return 1.0 + 0.25 * peers


def minimum_s(peers: int) -> int:
    """The shortest demo in which everything has its time."""
    return math.ceil((joining_s(peers) + EVERY_MIN_S * (MESSAGES - 1)) / SPREAD)


def plan(duration_s: float, peers: int) -> Plan:
    """Spreads the messages from when all are ready to three quarters of the time, so that the last have time to arrive."""
    window_s = SPREAD * duration_s - joining_s(peers)
    every_s = min(EVERY_MAX_S, window_s / (MESSAGES - 1))
    messages = 1 + round(window_s // every_s) if every_s == EVERY_MAX_S else MESSAGES
    return Plan(peers, messages, every_s, 0.03 * duration_s, 0.7 * duration_s, duration_s - END_S)


class Story:
    """The chapters, in their order. What has not been reached is None."""

    def __init__(self, network: Network, plan: Plan, say: Say, asked_to_stop: Callable[[], bool]) -> None:
        self.joined_s: float | None = None
        self.removed_s: float | None = None
        self.killed: str | None = None
        self.left: str | None = None
        self.returned: str | None = None
        self._network = network
        self._plan = plan
        self._say = say
        self._asked_to_stop = asked_to_stop
        self._progress_at = math.inf

    def tell(self) -> None:
        """The whole story. Raises Enough and NodeEnded."""
        self._open()
        if not self._join():
            return
        self._look_up()
        self._spread()
        self._progress_at = self._now + PROGRESS_S
        killed = self._kill()
        if killed is not None and self._bury(killed):
            self._return(killed)
        self._leave()
        self._wait(lambda: False, self._plan.end_at_s)

    def settle(self) -> tuple[Account, list[Life]]:
        """Waits for what is still on its way. The account, and who has lived to the end."""
        living = self._network.living
        survivors = [node.life for node in living if node.life is not None]
        began = self._now
        while True:
            self._network.read()
            account = settle(self._network.lives, survivors)
            hurried = self._asked_to_stop()
            done = hurried or all(node.published for node in living)
            if (done and not account.lost) or self._now - began >= (HURRIED_SETTLE_S if hurried else SETTLE_S):
                return account, survivors
            time.sleep(POLL_S)

    def proofs(self, survivors: list[Life]) -> list[str | None]:
        """The four, in the order of the design: passed on, from everybody, a death, a goodbye."""
        log = self._network.seed_log
        return [
            prove_passed_on(survivors),
            prove_everybody(self._network.lives, survivors),
            prove_dead_report(log, self.killed),
            prove_leave(log, self.left),
        ]

    # -- chapters ---------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Seeds first: a peer that finds none goes on without and tries again, but that is another story."""
        network = self._network
        network.start_seeds()
        self._wait(lambda: network.listening, JOIN_MAX_S)
        ports = ", ".join(map(str, network.seed_ports))
        self._say(
            "seeds",
            f"The {SEEDS} seeds listen on ports {ports}: seeds are address books, where a newcomer asks who is there.",
            seeds=[f"{HOST}:{port}" for port in network.seed_ports],
        )
        for port in [network.returning_port, *[0] * (self._plan.peers - 1)]:
            network.start_peer(self._plan.messages, self._plan.every_s, after=self._plan.peers - 1, port=port)
        self._say(
            "started",
            f"{self._plan.peers} peers start: each asks {SEEDS // 2 + 1} of the seeds, then links with {min(4, self._plan.peers - 1)} "
            "of the others, which become its neighbours.",
            peers=self._plan.peers,
        )

    def _join(self) -> bool:
        """The first one is a line, then how many they are at most once a second, then all."""
        peers = self._network.peers
        until = self._now + JOIN_MAX_S

        def ready() -> list[PeerNode]:
            return [node for node in peers if node.ready]

        if not self._wait(lambda: bool(ready()), until):
            return False
        first = ready()[0].endpoint
        text = f"Peer {port_of(first)} is the first to be ready: one of its links works in both directions."
        self._say("ready", text, peer=first, ready=(told := len(ready())))
        while not self._wait(lambda: len(ready()) == len(peers), min(until, self._now + JOIN_LINE_S)):
            if self._now >= until:
                return False
            if len(ready()) > told:
                told = len(ready())
                self._say("ready", f"{told} of {len(peers)} peers are ready.", ready=told)
        self.joined_s = self._now
        text = f"All {len(peers)} peers are ready after {self._now:.1f} s: what one of them says now reaches all the others."
        self._say("joined", text, joined_s=round(self._now, 3))
        return True

    def _look_up(self) -> None:
        """What `zmqgossip peers` would show. Also imports zmq, so that the first look for the dead one does not wait for that."""
        from zmqgossip.runtime.query import union

        count = len(union(self._ask_seeds()))
        text = f"The seeds together list {count} peers: `zmqgossip peers` shows such a list."
        self._say("listed", text, listed=count)

    def _spread(self) -> None:
        """Shows how one message has got around: a typical one, that somebody has passed on, if there is such a one."""
        lives = self._network.lives

        def arrived() -> list[Message]:
            made = [message for life in lives for message in life.own.values()]
            return [one for one in made if seen_by_all(one, [life for life in lives if life.endpoint != one.origin])]

        if not self._wait(lambda: len(arrived()) * 2 >= len(lives), self._now + EVERY_MAX_S) and not arrived():
            return
        ways = [(one, longest_path(one, lives)) for one in arrived()]
        message, path = min(ways, key=lambda way: (len(way[1]) <= DIRECT, len(way[1])))
        maker = port_of(message.origin)
        bringers = [got.brought for life in lives if (got := life.received.get(message.key)) is not None]
        direct = bringers.count(message.origin)
        passed_on = len(bringers) - direct
        text = f"Peer {maker} says something: it goes directly to {direct} of the others"
        text += f", and from peer to peer to {passed_on}." if passed_on else "."
        self._say("message", text, origin=message.origin, msg_count=message.count, direct=direct, passed_on=passed_on)
        if len(path) > DIRECT:
            text = f"One way that it went is {' > '.join(map(port_of, path))}: whoever hears something new tells all neighbours."
            self._say("path", text, path=path)

    def _kill(self) -> PeerNode | None:
        at = self._now + self._plan.pause_s
        self._wait(lambda: False, at)
        victim = self._choose(self._network.peers[:1])  # whose port is still free when it is to come back
        if victim is None or victim.life is None:
            return None
        self._network.kill(victim)
        self.killed = victim.life.endpoint
        self._killed_at = self._now
        text = f"Peer {victim.life.port} is killed with kill -9: it cannot say goodbye, so somebody has to notice."
        self._say("killed", text, peer=self.killed)
        return victim

    def _bury(self, victim: PeerNode) -> bool:
        """Until no seed lists the victim. Asks the seeds themselves, as `zmqgossip peers` does."""
        log = self._network.seed_log
        killed = self.killed or ""
        dead = port_of(killed)
        until = self._chapter_end()
        if self._wait(lambda: log.reporter(killed) is not None, until) and (reporter := log.reporter(killed)) is not None:
            by, evidence = reporter
            text = f"Its neighbour {port_of(by)} tells the seeds that {dead} is dead: {_EVIDENCE.get(evidence, evidence)}."
            self._say("reported", text, peer=killed, by=by, evidence=evidence)
        if not self._wait(lambda: self._listed_nowhere(killed), until):
            return False
        self.removed_s = self._now - self._killed_at
        text = f"No seed lists {dead} any more, {self.removed_s:.1f} s after its death: nobody will be sent to it."
        self._say("removed", text, peer=killed, removed_s=round(self.removed_s, 3))
        return True

    def _return(self, victim: PeerNode) -> None:
        self._wait(lambda: False, self._now + self._plan.pause_s)
        endpoint = self.killed or ""
        port = port_of(endpoint)
        began = self._now
        node = self._network.start_peer(MESSAGES_RETURNED, self._plan.every_s, after=self._plan.peers - 1, port=int(port))
        text = f"A new process starts on port {port}: it has an id of its own, so nobody mistakes it for the dead one."
        self._say("restarted", text, peer=endpoint)
        if self._wait(lambda: node.ready, self._chapter_end()):
            self.returned = endpoint
            text = f"Peer {port} is ready after {self._now - began:.1f} s: the others have taken the newcomer in."
            self._say("returned", text, peer=endpoint, returned_s=round(self._now - began, 3))
        lives = self._network.lives
        probes, replies = sum(life.probes for life in lives), sum(life.replies for life in lives)
        text = f"Once a second neighbours ask one another who is alive: {probes} questions (1122) so far, {replies} answers (1144)."
        self._say("probes", text, probes=probes, replies=replies)

    def _leave(self) -> None:
        self._wait(lambda: False, self._plan.leave_at_s)
        leaver = self._choose(self._network.peers[: self._plan.peers])  # not who has just come
        if leaver is None or leaver.life is None:
            return
        leaver.signal(signal.SIGINT)
        began = self._now
        self.left = leaver.life.endpoint
        text = f"Peer {leaver.life.port} is ended with Ctrl-C: it says goodbye to its neighbours and to the seeds."
        self._say("leaving", text, peer=self.left)
        heard = self._network.seed_log.leaves.setdefault(self.left, [])
        gone = self._wait(lambda: bool(heard) and self._listed_nowhere(leaver.endpoint), self._now + GOODBYE_S)
        if not gone:
            return
        text = f"No seed lists it any more {self._now - began:.1f} s later: who says goodbye need not be found dead."
        self._say("left", text, peer=self.left, seeds=len(heard))

    # -- waiting ----------------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self._say.elapsed_s

    def _chapter_end(self) -> float:
        return max(self._plan.end_at_s, self._now + CHAPTER_S)

    def _wait(self, condition: Callable[[], bool], until: float) -> bool:
        """Reads what the processes write until `condition` holds; False at `until`. Raises Enough and NodeEnded."""
        while True:
            if self._asked_to_stop():
                raise Enough
            self._network.read()
            if condition():
                return True
            if self._now >= until:
                return False
            self._tell_progress()
            time.sleep(POLL_S)

    def _tell_progress(self) -> None:
        if self._now < self._progress_at:
            return
        self._progress_at = self._now + PROGRESS_S
        now = settle(self._network.lives, [node.life for node in self._network.living if node.life is not None])
        text = f"{now.messages:,} messages so far: {now.expected:,} deliveries are due and {now.delivered:,} are done."
        self._say("progress", text, messages=now.messages, expected=now.expected, delivered=now.delivered)

    def _choose(self, peers: list[PeerNode]) -> PeerNode | None:
        """The next to be ended: one whose latest message has reached everybody, and that is not about to make another.

        A message that has not left its maker's process is gone with it: nobody else has it to repair from.
        """
        found: list[PeerNode] = []

        def look() -> bool:
            found.extend(node for node in peers if node in self._network.living and self._may_end(node))
            return bool(found)

        return found[0] if self._wait(look, self._chapter_end()) else None

    def _may_end(self, node: PeerNode) -> bool:
        if not node.ready or node.life is None or (latest := node.life.latest) is None:
            return False
        since_s = time.time() - latest.at_us / 1e6
        others = [other.life for other in self._network.living if other is not node and other.life is not None]
        return (node.published or since_s < self._plan.every_s - GAP_S) and seen_by_all(latest, others)

    def _listed_nowhere(self, endpoint: str) -> bool:
        return all(
            answer.complete and all(str(member.record.endpoint) != endpoint for member in answer.members) for answer in self._ask_seeds()
        )

    def _ask_seeds(self) -> list[Answer]:
        from zmqgossip.core.types import Endpoint
        from zmqgossip.runtime.query import ask_seeds

        seeds = [Endpoint(HOST, port) for port in self._network.seed_ports]
        return ask_seeds(seeds, CLUSTER, tombstones=False, timeout_s=QUERY_S)
