"""Asks seeds for their whole lists, page by page, without being a peer: nothing is registered, so the asker is never listed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq

from zmqgossip.core.errors import WireError
from zmqgossip.core.messages import List, Listed, WrongCluster
from zmqgossip.core.types import FIRST_ID, Endpoint, Member, PeerId, PeerState
from zmqgossip.core.wire import Codec, cluster_hash
from zmqgossip.runtime import sockets
from zmqgossip.runtime.sockets import Socket

PAGE = 256
SLICE_S = 1.0
TIMEOUTS_MAX = 30
"""In so many time-outs a seed must be done with its list: who gives a page now and then must not hold up what the others said."""
LISTED_MAX = 10_000_000
"""As many as a seed can be told to list. One whose pages go on beyond that makes them up."""


@dataclass(slots=True, eq=False)
class Answer:
    """What one seed said. `heard` when anything came, `complete` when every page did; `failed` says why not."""

    seed: Endpoint
    members: list[Member] = field(default_factory=list)
    heard: bool = False
    complete: bool = False
    failed: str = ""
    pages_asked: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A peer as the seeds together list it; `seeds` of them hold it alive or suspect."""

    member: Member
    seeds: int


class _Asker:
    """The conversation with one seed."""

    def __init__(self, context: sockets.Context, codec: Codec, seed: Endpoint, tombstones: bool, timeout_s: float) -> None:
        self.answer = Answer(seed)
        self.until = time.monotonic() + timeout_s  # anew with each page: many peers are many pages
        self._timeout_s = timeout_s
        self._ends_at = self.until + (TIMEOUTS_MAX - 1) * timeout_s
        self._after = FIRST_ID
        self.socket, self.monitor = sockets.dealer(context, seed)
        self._codec = codec
        self._wants_tombstones = tombstones
        self._in_tombstones = False

    @property
    def done(self) -> bool:
        return self.answer.complete or bool(self.answer.failed)

    def ask(self, after: PeerId) -> None:
        self.answer.pages_asked += 1
        self._after = after
        try:
            frame = self._codec.encode(List(after, PAGE, self._in_tombstones), self.answer.pages_asked)
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self.answer.failed = "the connection dropped"

    def on_monitor(self) -> None:
        while (read := sockets.read_monitor(self.monitor)) is not None:
            if read[0] == zmq.Event.HANDSHAKE_SUCCEEDED:
                self.ask(FIRST_ID)
            elif not self.done:
                self.answer.failed = "nobody listens" if not self.answer.pages_asked else "the connection dropped"
                return

    def on_frame(self) -> None:
        try:
            body, exchange = self._codec.decode(self.socket.recv(zmq.NOBLOCK))
        except WireError as error:
            self.answer.failed = f"not understood ({error})"
            return
        if isinstance(body, WrongCluster):
            self.answer.failed = "another cluster"
        elif isinstance(body, Listed) and exchange == self.answer.pages_asked:
            self.answer.heard = True
            self.answer.members += body.members
            self.until = min(time.monotonic() + self._timeout_s, self._ends_at)
            if body.more and body.members:
                self._ask_on(body.members[-1].record.id)
            elif self._wants_tombstones and not self._in_tombstones:
                self._in_tombstones = True
                self.ask(FIRST_ID)
            else:
                self.answer.complete = True

    def _ask_on(self, after: PeerId) -> None:
        if after > self._after and len(self.answer.members) <= LISTED_MAX:
            self.ask(after)
        else:
            self.answer.failed = "its list does not end"

    def look_at_clock(self) -> None:
        if not self.done and time.monotonic() >= self.until:
            more = "more " if self.answer.members else ""
            self.answer.failed = f"no {more}answer within {self._timeout_s:g} s"


def ask_seeds(seeds: Sequence[Endpoint], cluster: str, *, tombstones: bool, timeout_s: float) -> list[Answer]:
    """One answer a seed, in their order. Never raises for what a seed does or does not say.

    Args:
        tombstones: the dead and the left too.
        timeout_s: how long a seed may be silent, before its first page and between two.
    """
    context: sockets.Context = zmq.Context()
    codec = Codec(cluster_hash(cluster))
    askers: list[_Asker] = []
    try:
        askers += [_Asker(context, codec, seed, tombstones, timeout_s) for seed in seeds]
        while open_askers := [asker for asker in askers if not asker.done]:
            left = min(asker.until for asker in open_askers) - time.monotonic()
            _turn(open_askers, max(0.0, min(left, SLICE_S)))
            for asker in open_askers:
                asker.look_at_clock()
    finally:
        for asker in askers:
            sockets.close(asker.socket, asker.monitor)
        context.destroy(linger=0)
    return [asker.answer for asker in askers]


def _turn(askers: list[_Asker], timeout_s: float) -> None:
    poller = zmq.Poller()
    readers: dict[Socket, _Asker] = {}
    for asker in askers:
        for socket in (asker.socket, asker.monitor):
            poller.register(socket, zmq.POLLIN)
            readers[socket] = asker
    for source, _ in poller.poll(int(timeout_s * 1000) + 1):
        asker = readers[source]
        if source is asker.monitor:
            asker.on_monitor()
        else:
            asker.on_frame()


def union(answers: Sequence[Answer]) -> list[Listing]:
    """The members of all answers, by endpoint. Living before gone, then the newer record, then the milder state."""
    best: dict[PeerId, Member] = {}
    counts: dict[PeerId, int] = {}
    for answer in answers:
        for member in answer.members:
            peer = member.record.id
            counts[peer] = counts.get(peer, 0) + (member.state in (PeerState.ALIVE, PeerState.SUSPECT))
            held = best.get(peer)
            if held is None or _rank(member) > _rank(held):
                best[peer] = member
    listings = [Listing(member, counts[peer]) for peer, member in best.items()]
    return sorted(listings, key=lambda listing: (listing.member.record.endpoint, listing.member.record.id))


def _rank(member: Member) -> tuple[bool, int, int, int]:
    living = member.state in (PeerState.ALIVE, PeerState.SUSPECT)
    # Of the gone, LEFT is what the peer itself said; of the living, ALIVE is what some seed has seen.
    mildness = -member.state if living else member.state
    return (living, *member.record.order, mildness)
