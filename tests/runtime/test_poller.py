"""What is watched wakes its watcher: no message waits for another, and who is watched no more is silent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq

from zmqgossip.runtime.poller import Poller
from zmqgossip.runtime.sockets import Socket

SOON_S = 10.0
"""At most; what is ready wakes at once."""


@pytest.fixture
def poller() -> Iterator[Poller]:
    one = Poller()
    yield one
    one.close()


@contextmanager
def pairs(count: int, address: str = "inproc://{}") -> Iterator[list[tuple[Socket, Socket]]]:
    """Two ends each, connected; nothing lingers."""
    context: zmq.Context[Socket] = zmq.Context()
    made = []
    for number in range(count):
        near, far = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        far.bind(address.format(number))
        near.connect(far.getsockopt_string(zmq.LAST_ENDPOINT))
        made.append((near, far))
    try:
        yield made
    finally:
        context.destroy(linger=0)


def arrived(socket: Socket) -> None:
    """Waits until something can be read, which takes notice of it: its descriptor is silent from then on."""
    assert socket.poll(SOON_S * 1000)


def test_what_came_before_a_socket_was_watched_is_told(poller: Poller) -> None:
    with pairs(1) as [(near, far)]:
        far.send(b"early")
        arrived(near)
        poller.register(near)
        assert poller.poll(0) == [near]


@pytest.mark.parametrize("address", ["inproc://{}", "tcp://127.0.0.1:*"])
def test_only_who_got_something_is_ready(poller: Poller, address: str) -> None:
    with pairs(5, address) as made:
        for near, _ in made:
            poller.register(near)
        poller.poll(0)
        made[3][1].send(b"for the fourth")
        arrived(made[3][0])
        poller.use(made[3][0])
        assert poller.poll(SOON_S) == [made[3][0]]
        assert made[3][0].recv(zmq.NOBLOCK) == b"for the fourth"


def test_a_sleep_ends_when_something_comes(poller: Poller) -> None:
    with pairs(1, "tcp://127.0.0.1:*") as [(near, far)]:
        poller.register(near)
        far.send(b"while it sleeps")
        for _ in range(100):  # a wake-up may tell of no more than a connection
            if poller.poll(SOON_S) and near.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                break
        assert near.recv(zmq.NOBLOCK) == b"while it sleeps"


def test_nothing_is_ready_where_nothing_came(poller: Poller) -> None:
    with pairs(2) as made:
        for near, _ in made:
            poller.register(near)
        for _ in range(5):  # the connection itself may wake it
            poller.poll(0)
        assert poller.poll(0) == []


@pytest.mark.parametrize("address", ["inproc://{}", "tcp://127.0.0.1:*"])
def test_a_socket_that_got_something_while_it_was_only_sent_on_is_ready_at_the_next_poll(poller: Poller, address: str) -> None:
    with pairs(1, address) as [(near, far)]:
        poller.register(near)
        for turn in range(20):
            far.send(b"to be read")
            arrived(near)
            near.send(b"out")  # as with any send, what has come was taken notice of
            poller.use(near)
            assert poller.poll(SOON_S) == [near], turn
            assert near.recv(zmq.NOBLOCK) == b"to be read"
            arrived(far)
            far.recv()


def test_a_socket_that_was_not_read_to_its_end_is_ready_again_and_again(poller: Poller) -> None:
    with pairs(1) as [(near, far)]:
        poller.register(near)
        for number in range(10):
            far.send(b"%d" % number)
        arrived(near)
        poller.use(near)
        for number in range(10):
            assert poller.poll(SOON_S) == [near]
            assert near.recv(zmq.NOBLOCK) == b"%d" % number
        assert poller.poll(0) == []


def test_what_comes_between_the_last_read_and_the_sleep_wakes(poller: Poller) -> None:
    with pairs(1) as [(near, far)]:
        poller.register(near)
        far.send(b"first")
        assert poller.poll(SOON_S) == [near]
        assert near.recv() == b"first"
        with pytest.raises(zmq.Again):
            near.recv(zmq.NOBLOCK)
        far.send(b"second")
        assert poller.poll(SOON_S) == [near]
        assert near.recv(zmq.NOBLOCK) == b"second"


def test_a_socket_that_is_watched_no_more_is_silent(poller: Poller) -> None:
    with pairs(2) as [(near, far), (other, _)]:
        poller.register(near)
        poller.register(other)
        poller.poll(0)
        far.send(b"too late")
        arrived(near)
        poller.use(near)
        poller.unregister(near)
        assert near not in poller.poll(0)
        poller.use(near)  # a turn that had begun may still send on it
        assert near not in poller.poll(0)
        poller.register(near)
        assert near in poller.poll(SOON_S), "and is told when it is watched again"


def test_sockets_that_are_not_control_can_be_left_alone_and_are_found_later(poller: Poller) -> None:
    with pairs(2) as [(near, far), (control, control_far)]:
        poller.register(near, control=False)
        poller.register(control)
        far.send(b"later")
        arrived(near)
        assert poller.poll(0, control_only=True) == []
        control_far.send(b"now")
        assert poller.poll(SOON_S, control_only=True) == [control]
        assert control.recv() == b"now"
        assert poller.poll(0, control_only=True) == []
        assert poller.poll(SOON_S) == [near], "it was registered, or used, meanwhile"
        poller.unregister(near)
        poller.unregister(control)
        assert poller.poll(0) == []


def test_a_socket_may_be_closed_when_it_is_watched_no_more(poller: Poller) -> None:
    with pairs(2) as [(near, far), (other, other_far)]:
        poller.register(near)
        poller.register(other)
        far.send(b"lost")
        poller.unregister(near)
        poller.use(near)
        near.close()
        other_far.send(b"found")
        assert poller.poll(SOON_S) == [other]


def test_a_plain_descriptor_is_ready_when_it_can_be_read(poller: Poller) -> None:
    reading, writing = os.pipe()
    try:
        poller.register_plain(reading, write=False)
        assert poller.poll(0) == []
        os.write(writing, b"x")
        assert poller.poll(SOON_S) == [reading]
        assert poller.poll(SOON_S) == [reading], "it is a state and not a change"
        os.read(reading, 1)
        assert poller.poll(0) == []
        os.write(writing, b"y")
        poller.unregister_plain(reading)
        assert poller.poll(0) == []
    finally:
        os.close(reading)
        os.close(writing)


def test_a_plain_descriptor_is_ready_when_it_can_be_written(poller: Poller) -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        poller.register_plain(writing, write=True)
        assert poller.poll(SOON_S) == [writing]
        with suppress(BlockingIOError):
            while os.write(writing, bytes(4096)):
                pass  # until it is full
        assert poller.poll(0) == []
        os.read(reading, 65_536)
        assert poller.poll(SOON_S) == [writing]
    finally:
        os.close(reading)
        os.close(writing)


def test_sockets_and_descriptors_are_told_of_together(poller: Poller) -> None:
    reading, writing = os.pipe()
    try:
        with pairs(1) as [(near, far)]:
            poller.register(near)
            poller.register_plain(reading, write=False)
            far.send(b"x")
            arrived(near)
            poller.use(near)
            os.write(writing, b"x")
            assert set(poller.poll(SOON_S)) == {near, reading}
            poller.unregister(near)
    finally:
        os.close(reading)
        os.close(writing)
