"""A feed: its bounds, its ends, its readers, which are threads and tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pytest

from tests.handle.network import END_S, SOON_S, in_thread
from tests.support import wait_for
from zmqgossip.core.errors import NodeClosed, Timeout
from zmqgossip.handle import feed as feed_module
from zmqgossip.handle.feed import Feed


def one(thing: int) -> Iterable[int]:
    return (thing,)


def test_what_was_put_comes_out_in_order_and_then_the_end() -> None:
    feed = Feed(one)
    for number in range(5):
        assert feed.put(number)
    feed.end()
    assert list(feed) == [0, 1, 2, 3, 4]
    assert list(feed) == []


def test_get_after_the_end_raises_node_closed_and_what_ended_it_if_that_was_an_error() -> None:
    feed, failed = Feed(one), Feed(one)
    feed.end()
    failed.put(1)
    failed.end(RuntimeError("a bug"))
    with pytest.raises(NodeClosed, match="nothing more will come"):
        feed.get(1.0)
    assert failed.get() == 1
    with pytest.raises(RuntimeError, match="a bug"):
        failed.get()
    with pytest.raises(RuntimeError, match="a bug"):
        next(failed)


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_get_raises_timeout_after_its_time(timeout: float) -> None:
    began = time.monotonic()
    with pytest.raises(Timeout, match=f"within {timeout:g} s") as caught:
        Feed(one).get(timeout)
    assert timeout <= time.monotonic() - began < timeout + END_S
    assert isinstance(caught.value, TimeoutError) and caught.value.timeout_s == timeout


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_what_does_not_concern_the_reader_does_not_extend_its_time(timeout: float) -> None:
    def none(thing: int) -> Iterable[int]:
        feed.put(thing)  # there is always a next one
        return ()

    feed: Feed[int] = Feed(none)
    feed.put(1)
    with in_thread(feed.get, timeout) as outcome:
        try:
            wait_for(lambda: outcome, timeout + END_S, "the time-out")
        finally:
            feed.close()
    assert isinstance(outcome[0], Timeout)


def test_more_than_fits_is_dropped_by_count_and_what_was_there_before_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "ITEMS_MAX", 3)
    feed = Feed(one)
    assert [feed.put(number) for number in range(5)] == [True, True, True, False, False]
    assert feed.dropped_count == 2
    assert [feed.get(0) for _ in range(3)] == [0, 1, 2]
    assert feed.put(5) and feed.get(0) == 5


def test_more_bytes_than_fit_are_dropped_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "BYTES_MAX", 100)
    feed = Feed(one)
    assert [feed.put(number, 40) for number in range(4)] == [True, True, False, False]
    assert feed.put(9, 20) and feed.dropped_count == 2
    assert [feed.get(0) for _ in range(3)] == [0, 1, 9]
    assert feed.put(10, 100)


def test_closing_lets_go_what_waits_and_wakes_a_waiting_thread() -> None:
    closed: list[object] = []
    feed = Feed(one, closed.append)
    with in_thread(list, feed) as outcome:
        feed.close()
    assert outcome == [[]]
    feed.put(1)
    feed.close()
    assert closed == [feed] and list(feed) == [] and feed.dropped_count == 0


def test_closing_in_the_middle_of_what_is_unpacked_ends_the_reading() -> None:
    feed: Feed[int] = Feed(range)
    feed.put(100)
    with feed:
        assert [feed.get(0), feed.get(0)] == [0, 1]
    assert list(feed) == []


def test_two_threads_that_read_one_feed_by_mistake_get_each_thing_once() -> None:
    feed: Feed[int] = Feed(range)
    with in_thread(list, feed) as first, in_thread(list, feed) as second:
        for _ in range(200):
            feed.put(10)
        feed.end()
    assert sorted(first[0] + second[0]) == sorted(200 * list(range(10)))


# -- tasks ----------------------------------------------------------------------------------------------------------------


def test_a_task_reads_what_a_thread_puts_until_the_end() -> None:
    feed = Feed(one)

    def put() -> None:
        for number in range(500):
            feed.put(number)
        feed.end()

    async def read() -> list[int]:
        return [number async for number in feed]

    with in_thread(put):
        assert asyncio.run(read()) == list(range(500))


def test_a_task_that_is_cancelled_while_it_waits_loses_nothing_and_leaves_nothing_behind() -> None:
    feed = Feed(one)

    async def read() -> int:
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(feed), 0.001)
        assert not feed._tasks
        feed.put(7)
        return await asyncio.wait_for(anext(feed), SOON_S)

    assert asyncio.run(read()) == 7


def test_a_task_whose_stream_never_pauses_leaves_the_others_their_turn() -> None:
    def endless(thing: int) -> Iterable[int]:
        feed.put(thing)
        return (thing,)

    feed: Feed[int] = Feed(endless)
    feed.put(1)

    async def read() -> None:
        async for _ in feed:
            pass

    async def main() -> None:
        reader = asyncio.create_task(read())
        for _ in range(100):
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    with in_thread(asyncio.run, main()) as outcome:
        try:
            wait_for(lambda: outcome, SOON_S, "the other task's turn")
        finally:
            feed.close()
    assert outcome == [None]


def test_a_task_is_told_of_the_error_that_ended_the_feed() -> None:
    feed = Feed(one)

    async def read() -> None:
        reader = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        feed.end(RuntimeError("a bug"))
        with pytest.raises(RuntimeError, match="a bug"):
            await asyncio.wait_for(reader, SOON_S)

    asyncio.run(read())


def test_an_event_loop_that_was_closed_while_its_task_waited_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    feed = Feed(one)
    loop = asyncio.new_event_loop()
    reader = loop.create_task(anext(feed))  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    feed.put(1)
    assert feed.get(0) == 1 and not reader.done()
    reader._log_destroy_pending = False  # type: ignore[attr-defined]
    assert not caplog.records


# -- batches --------------------------------------------------------------------------------------------------------------


def test_a_second_loop_goes_on_where_the_first_one_stopped_in_the_middle_of_a_batch() -> None:
    feed: Feed[int] = Feed(range)
    feed.put(5)
    feed.put(3)
    feed.end()
    for item in feed:
        if item == 2:
            break
    iterator = iter(feed)
    assert next(iterator) == 3 and next(feed) == 4 and feed.get(0) == 0
    assert list(feed) == [1, 2] and list(iterator) == []


def test_a_task_and_a_thread_go_on_where_the_other_one_stopped() -> None:
    feed: Feed[int] = Feed(range)
    feed.put(10)
    feed.end()

    async def read(until: int) -> list[int]:
        items = []
        async for item in feed:
            items.append(item)
            if item == until:
                break
        return items

    assert asyncio.run(read(3)) == [0, 1, 2, 3]
    assert next(feed) == 4
    assert asyncio.run(read(99)) == [5, 6, 7, 8, 9]


def test_closing_ends_a_loop_in_the_middle_of_a_batch_at_once() -> None:
    feed: Feed[int] = Feed(range)
    feed.put(100)
    read = []
    for item in feed:
        read.append(item)
        if item == 7:
            feed.close()
    assert read == list(range(8))


def test_what_is_added_without_a_wake_up_is_read_after_the_next_one() -> None:
    feed = Feed(one)
    with in_thread(list, feed) as outcome:
        wait_for(lambda: feed._gates, SOON_S)
        feed.add(1)
        feed.add(2)
        assert outcome == []
        feed.wake()
        feed.end()
    assert outcome == [[1, 2]]


def test_a_batch_is_bounded_in_bytes_so_that_its_first_item_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[int] = []

    def unpack(thing: int) -> Iterable[int]:
        unpacked.append(thing)
        return (thing,)

    feed = Feed(unpack)
    for number in range(9):
        feed.put(number, feed_module.BATCH_BYTES_MAX // 2)
    assert feed.get(0) == 0 and unpacked == [0, 1]
