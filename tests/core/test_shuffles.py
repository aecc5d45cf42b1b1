"""Shuffles, and what a peer that knows only a part of all does when it runs out of candidates."""

from __future__ import annotations

from tests.core.harness import CODEC, Far, PeerBench, config, members, neighbour, peer
from zmqgossip.core import outbox
from zmqgossip.core.codes import Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.gossip_messages import Sync
from zmqgossip.core.messages import List, Listed, Refused, Registered, Shuffle, Shuffled, UnknownLink
from zmqgossip.core.types import PeerRecord

MANY = [peer(number) for number in range(100, 120)]
TOTAL = 5000


def partial(*records: PeerRecord, luck: int = 1, **knobs: float) -> tuple[PeerBench, int]:
    """A peer of a large cluster, whose seed has named `records`; and the key of that seed."""
    bench = PeerBench(luck=luck, knobs=config(**knobs))
    bench.start()
    (key,) = bench.asked_seeds
    bench.connect(key)
    bench.reply(key, Registered(True, TOTAL, members(records)))
    assert bench.engine.members.partial
    return bench, key


def wait_linked(bench: PeerBench, seconds: float) -> None:
    """Time passes, and all neighbours give signs of life."""
    for _ in range(int(seconds)):
        bench.wait(1.0)
        for link in bench.engine.view.links():
            bench.request(Sync(link.mine), address=link.peer.host)


def opened(bench: PeerBench) -> list[PeerRecord]:
    ends = [endpoint for _, endpoint in bench.of(outbox.OPEN)]
    return [record for record in MANY if record.endpoint in ends]


# -- shuffles -------------------------------------------------------------------------------------------------------------


def settled(**knobs: float) -> tuple[PeerBench, Far]:
    """A peer of a large cluster that has the link it wants and many candidates, and one neighbour more, which dialled it."""
    bench, _ = partial(*MANY, neighbours_dialled=1, presence_interval_s=1000.0, **knobs)
    (own,) = opened(bench)
    Far(bench, own).comes_up()
    far = neighbour(bench, 2)
    bench.forget()
    return bench, far


def test_a_peer_that_knows_a_part_of_all_names_itself_and_a_few_others_each_interval() -> None:
    bench, _ = settled()
    wait_linked(bench, 5 * DEFAULT.shuffle_interval_s)
    shuffles = bench.sent(Shuffle)
    assert 4 <= len(shuffles) <= 6
    for key, body in shuffles:
        link = bench.engine.view.by_key(key)
        assert link is not None and body.link == link.theirs and link.peer not in body.candidates
        assert len(body.candidates) == 8 == len(set(body.candidates)) and body.candidates[0] == bench.engine.me
    assert len({tuple(body.candidates) for _, body in shuffles}) == len(shuffles), "the sample is random"


def test_who_knows_everybody_does_not_shuffle() -> None:
    bench = PeerBench()
    bench.attended = True
    bench.join(*MANY)
    neighbour(bench, 2)
    wait_linked(bench, 5 * DEFAULT.shuffle_interval_s)
    assert bench.sent(Shuffle) == []


def test_a_shuffle_is_answered_with_as_many_and_what_it_names_are_candidates() -> None:
    bench, far = settled()
    far.asks(Shuffle(far.link.mine, [far.record, peer(60), peer(61)]))
    (answer,) = bench.replies(Shuffled)
    assert answer.candidates[0] == bench.engine.me and len(answer.candidates) == 8
    assert bench.engine.members.is_living(peer(60).id) and bench.engine.members.is_living(peer(61).id)


def test_what_comes_back_are_candidates_too_but_only_if_it_was_asked_for() -> None:
    bench, far = settled()
    far.reply(Shuffled([peer(60)]))
    assert not bench.engine.members.is_living(peer(60).id) and bench.count("dropped.shuffled_unasked") == 1
    while not bench.sent(Shuffle):
        wait_linked(bench, 1.0)
    frames = [(key, *CODEC.decode(frame)) for key, frame in bench.of(outbox.REQUEST)]
    ((key, exchange),) = [(key, exchange) for key, body, exchange in frames if isinstance(body, Shuffle)]
    bench.reply(key, Shuffled([peer(60)]), exchange)
    bench.reply(key, Shuffled([peer(61)]), exchange)
    assert bench.engine.members.is_living(peer(60).id) and not bench.engine.members.is_living(peer(61).id)


def test_a_neighbour_that_shuffles_all_the_time_is_not_heard() -> None:
    bench, far = settled()
    for number in range(60, 70):
        far.asks(Shuffle(far.link.mine, [peer(number)]))
    assert len(bench.replies(Shuffled)) == 1 and bench.count("dropped.shuffle_too_soon") == 9
    assert not bench.engine.members.is_living(peer(61).id)


def test_of_a_long_shuffle_only_the_first_few_are_taken() -> None:
    bench, far = settled()
    far.asks(Shuffle(far.link.mine, [peer(number) for number in range(60, 90)]))
    assert sum(bench.engine.members.is_living(peer(number).id) for number in range(60, 90)) == 8


def test_a_shuffle_on_a_link_that_is_gone_is_told_so() -> None:
    bench, far = settled()
    far.asks(Shuffle(b"no nonce", [peer(60)]))
    assert len(bench.replies(UnknownLink)) == 1 and not bench.engine.members.is_living(peer(60).id)


# -- candidates that are no use -------------------------------------------------------------------------------------------


def refuse_all(bench: PeerBench) -> None:
    """Nobody listens at any address that is dialled."""
    while keys := [key for key, endpoint in bench.open.items() if endpoint in [record.endpoint for record in MANY]]:
        bench.disconnect(keys[0])


def test_a_candidate_that_refuses_is_forgotten_and_the_next_one_is_dialled_at_once() -> None:
    bench, _ = partial(*MANY)
    at = bench.now
    refuse_all(bench)
    assert len(opened(bench)) == len(MANY) and bench.now == at
    assert not any(bench.engine.members.is_living(record.id) for record in MANY)


def test_who_has_nobody_left_to_dial_asks_its_seeds_at_once_and_again_with_pauses_that_grow() -> None:
    bench, key = partial(*MANY, presence_interval_s=1000.0)
    bench.wait(10.0)
    refuse_all(bench)
    bench.reply(key, Listed(TOTAL, True, members(MANY)))
    bench.forget()
    begun = bench.now
    bench.wait(600.0)
    pauses = [after - before for before, after in zip([begun, *bench.sent_at(List)], bench.sent_at(List), strict=False)]
    assert max(pauses) <= DEFAULT.redial_max_s + 2 * DEFAULT.refill_interval_s, "for ever"
    assert pauses[-1] > 30 and len(pauses) < 25


def test_pages_begin_anywhere_so_that_not_all_ask_for_the_same() -> None:
    firsts = set()
    for luck in range(10):
        bench, _ = partial(luck=luck)
        bench.wait(5.0)
        firsts.add(bench.sent(List)[0][1].after)
    assert len(firsts) == 10


def test_a_page_that_names_somebody_new_is_dialled_from_at_once() -> None:
    bench, key = partial(*MANY[:3])
    refuse_all(bench)
    bench.reply(key, Listed(TOTAL, True, members(MANY)))
    assert set(opened(bench)) > set(MANY[:3]), "others than those that have refused"
    assert all(bench.engine.view.by_peer(record.id) is None for record in MANY[:3])


def test_with_nobody_else_left_the_first_that_refused_is_dialled_again_when_it_is_due_and_not_later() -> None:
    bench, _ = partial(MANY[0], presence_interval_s=1000.0)
    refuse_all(bench)
    bench.forget()
    bench.wait(DEFAULT.redial_min_s / 2 - 0.01)
    assert opened(bench) == []
    bench.wait(DEFAULT.redial_min_s / 2 + 0.01)
    assert opened(bench) == [MANY[0]]


def test_who_finds_a_full_one_dials_what_it_names_at_once() -> None:
    bench, _ = partial(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.FULL, 0, 0, MANY[:4]))
    assert opened(bench) == MANY[:4]
