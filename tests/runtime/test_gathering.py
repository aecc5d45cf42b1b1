"""Where much gossip flows it is taken in lumps; what comes alone, and control, waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
import zmq

from zmqgossip.runtime import gathering
from zmqgossip.runtime.gathering import BURST, GATHER_S, UNIT_BYTES, UNITS_PER_S, Gathering
from zmqgossip.runtime.loop import Loop
from zmqgossip.runtime.outgoing import Outgoing
from zmqgossip.runtime.sockets import Socket

SOON_S = 10.0


def flow(one: Gathering, units_per_s: float, seconds: float, began: float = 100.0) -> int:
    """Carries so much for so long, in turns that begin as soon as they may; how many there were."""
    now, last, turns = began, began, 0
    while now < began + seconds:
        one.carried(round(units_per_s * (now - last)), 0)
        last = now
        waits = one.begin(now)
        turns += 1
        now = one.until if waits else now + 0.001
    return turns


def test_a_trickle_never_waits() -> None:
    one = Gathering()
    flow(one, 0.9 * UNITS_PER_S, 10.0)
    assert one.until == 0.0


def test_a_burst_that_comes_once_does_not_wait() -> None:
    one = Gathering()
    one.carried(int(BURST) - 1, 0)
    assert not one.begin(5.0)


def test_a_stream_waits_until_it_ebbs() -> None:
    one = Gathering()
    turns = flow(one, 4 * UNITS_PER_S, 1.0)
    assert one.until > 100.9
    assert turns < 1.2 / GATHER_S, "one turn for so much time, but at the beginning"
    waits = [one.begin(at) for at in (101.0, 101.05, 101.2)]
    assert waits[0], "for a moment longer"
    assert not waits[-1], "then every message has a turn of its own"


def test_large_segments_are_much_sooner_than_small_ones() -> None:
    one = Gathering()
    for turn in range(100):
        one.carried(3, 3 * 65_536)
        waits = one.begin(turn * 0.01)
    assert waits, "three hundred a second"
    other = Gathering()
    for turn in range(100):
        other.carried(3, 3 * UNIT_BYTES // 16)
        waits = other.begin(turn * 0.01)
    assert not waits


class Pipe:
    """A loop that watches one socket of gossip and one for control."""

    def __init__(self) -> None:
        self.failed: list[BaseException] = []
        self.loop = Loop(self.failed.append)
        self.context: zmq.Context[Socket] = zmq.Context()
        self.seen: list[tuple[str, bytes]] = []
        self.came = threading.Condition()
        self.far: dict[str, Socket] = {}
        self.loop.call(self._open)

    def _open(self) -> None:
        for name in ("gossip", "control"):
            near, far = self.loop.context.socket(zmq.PAIR), self.context.socket(zmq.PAIR)
            port = near.bind_to_random_port("tcp://127.0.0.1")
            far.connect(f"tcp://127.0.0.1:{port}")
            self.loop.watch(near, self._reader(name, near), control=name == "control")
            self.far[name] = far

    def _reader(self, name: str, socket: Socket):  # type: ignore[no-untyped-def]
        def read(now: float) -> bool:
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return False
            with self.came:
                self.seen.append((name, frame))
                self.came.notify_all()
            return True

        return read

    def wait(self, name: str, frame: bytes) -> None:
        with self.came:
            assert self.came.wait_for(lambda: (name, frame) in self.seen, SOON_S), (self.seen, self.failed)

    def close(self) -> None:
        def unwatch() -> None:
            for source in [source for source in self.loop._handlers if isinstance(source, zmq.Socket) and source.type == zmq.PAIR]:
                self.loop.unwatch(source)
                source.close(linger=0)

        self.loop.call(unwatch)
        self.loop.stop()
        self.context.destroy(linger=0)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()
    assert not one.failed


def test_control_is_read_and_calls_are_made_while_gossip_gathers(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_S", SOON_S)
    pipe.far["gossip"].send(b"first")
    pipe.wait("gossip", b"first")
    pipe.loop.call(lambda: pipe.loop.gathering.carried(10_000, 0))
    pipe.loop.call(lambda: None)  # the turn after which gossip gathers is over
    pipe.far["gossip"].send(b"waits")
    pipe.far["control"].send(b"does not")
    pipe.wait("control", b"does not")
    assert pipe.loop.call(lambda: pipe.loop.takes_gossip) is False
    assert ("gossip", b"waits") not in pipe.seen
    monkeypatch.setattr(gathering, "GATHER_S", GATHER_S)
    pipe.loop.call(lambda: setattr(pipe.loop.gathering, "until", 0.0))
    pipe.wait("gossip", b"waits")


def test_gossip_that_has_gathered_is_read_without_being_asked_for(pipe: Pipe) -> None:
    for number in range(20):
        pipe.loop.call(lambda: pipe.loop.gathering.carried(1000, 0))
        pipe.far["gossip"].send(b"%d" % number)
        pipe.wait("gossip", b"%d" % number)


def test_who_publishes_while_the_loop_looks_again_by_itself_does_not_wake_it() -> None:
    woken: Future[int] = Future()
    outgoing = Outgoing(1000, lambda: woken.set_result(1))
    assert outgoing.take(looks_again=True) == []
    assert outgoing.put("quiet", b"x")
    assert not woken.done()
    assert len(outgoing.take()) == 1
    assert outgoing.put("loud", b"x")
    assert woken.done()


class Turns:
    """A body that has nothing to do but note which turns took gossip."""

    domain = b""
    next_deadline = None

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.taking = threading.Semaphore(0)

    def turn(self, now: float) -> None:
        if self._loop.takes_gossip:
            self.taking.release()

    def tell_late(self, now: float, late_s: float) -> None:
        """It is of no matter here."""

    def close(self) -> None:
        self._loop.remove(self)  # type: ignore[arg-type]


def test_each_turn_that_takes_gossip_reads_what_has_gathered(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    begin = Gathering.begin
    monkeypatch.setattr(Gathering, "begin", lambda one, now: begun.append(True) or begin(one, now))
    pipe.loop.call(lambda: pipe.loop.gathering.carried(1_000_000, 0))
    for number in range(200):
        pipe.far["gossip"].send(b"%d" % number)
        if number % 10 == 0:
            pipe.loop.call(lambda: pipe.loop.gathering.carried(1_000_000, 0))
            pipe.wait("gossip", b"%d" % number)
    pipe.wait("gossip", b"199")
    reads = len([name for name, _ in pipe.seen if name == "gossip"])
    assert reads == 200 and len(begun) < 60, "a turn that takes gossip and finds none to read puts the next one off for nothing"


def test_the_loop_looks_again_as_it_has_said_though_it_was_kept_beyond_the_moment(pipe: Pipe) -> None:
    turns = Turns(pipe.loop)
    pipe.loop.call(lambda: pipe.loop.add(turns))  # type: ignore[arg-type]
    for _ in range(5):

        def kept() -> None:
            while turns.taking.acquire(blocking=False):
                continue
            pipe.loop.looks_again, pipe.loop.gathering.until = True, 0.0  # the gathering is over, and nobody wakes it
            pipe.loop.takes_gossip = False

        pipe.loop.call(kept)
        assert turns.taking.acquire(timeout=SOON_S), "it sleeps on what was published"
