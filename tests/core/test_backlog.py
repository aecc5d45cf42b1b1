"""What waits to be packed: as many as fit, in their order, however they came in."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zmqgossip.core.backlog import MESSAGE_BYTES, Backlog
from zmqgossip.core.gossip_messages import Messages
from zmqgossip.core.wire import encode_messages

topics = st.text("abcé\U0001f300", min_size=1, max_size=6)
publications = st.tuples(topics, st.binary(max_size=30), st.floats(1.0, 2.0))


@given(st.lists(st.one_of(st.lists(publications, max_size=20), st.integers(1, 200)), max_size=20))
def test_it_gives_what_it_was_given_in_order_as_many_as_fit_and_one_at_least(steps: list[object]) -> None:
    backlog = Backlog()
    waiting: list[tuple[str, bytes, float]] = []
    for step in steps:
        if isinstance(step, list):
            backlog.add(step)
            waiting += step
        elif waiting:
            assert isinstance(step, int)
            names, payloads, times = backlog.take(step)
            count = len(payloads)
            assert list(zip(names, payloads, times, strict=True)) == waiting[:count]
            sizes = [len(name) * (1 if name.isascii() else 4) + len(payload) + MESSAGE_BYTES for name, payload, _ in waiting]
            assert count == 1 or sum(sizes[:count]) <= step
            assert count == len(waiting) or sum(sizes[: count + 1]) > step, "no more would fit"
            del waiting[:count]
        assert len(backlog) == len(waiting) and (backlog.bytes > 0) == bool(waiting)


def test_an_empty_batch_is_nothing() -> None:
    backlog = Backlog()
    backlog.add([])
    assert len(backlog) == 0 and backlog.bytes == 0


@pytest.mark.parametrize("topic", ["a", "t" * 200, "\U0001f300" * 50, "é" * 3])
@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 3000])
def test_no_message_takes_more_on_the_wire_than_it_is_reckoned_with(topic: str, size: int) -> None:
    backlog = Backlog()
    backlog.add([(topic, bytes(size), 1.5)])
    backlog.add([(topic + "x", bytes(size), 2.5)])
    reckoned = backlog.bytes
    names, payloads, times = backlog.take(reckoned)
    assert len(payloads) == 2
    empty = len(encode_messages(Messages("127.0.0.1", 1, [], [], [])))
    assert len(encode_messages(Messages("127.0.0.1", 1, times, names, payloads))) <= reckoned + empty + 8
