"""Doubt that everybody is heard, links that are given up for better ones, and the places that are kept for the isolated."""

from __future__ import annotations

import pytest

from tests.core.harness import Far, PeerBench, config, members, neighbour, peer, seed_at
from zmqgossip.core import outbox
from zmqgossip.core.codes import Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.messages import Bye, Hello, Present, Probe, Refused, Registered, Welcome
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.view import LinkState

MANY = [peer(number) for number in range(100, 140)]


def says(far: Far, links_count: int) -> None:
    """The neighbour probes, and so says how many links it has."""
    far.asks(Probe(1.0, 5000, far.link.mine, b"a probe!", links=links_count))


def full(**knobs: float) -> tuple[PeerBench, list[Far]]:
    """A peer that has taken in as many as it does; the other places are kept for links of its own."""
    bench = PeerBench(knobs=config(neighbours_dialled=2, neighbours_max=6, **knobs))
    return bench, [neighbour(bench, number) for number in range(2, 6)]


def urgent_hello(bench: PeerBench, number: int) -> Far:
    far = Far(bench, peer(number), number.to_bytes(8, "big"))
    bench.request(Hello(far.record, bench.engine.me.id, far.nonce, ["plain"], urgent=True), address=far.record.host)
    return far


def opened(bench: PeerBench) -> list[PeerRecord]:
    """Of MANY, to whom a DEALER was opened."""
    ends = [endpoint for _, endpoint in bench.of(outbox.OPEN)]
    return [record for record in MANY if record.endpoint in ends]


# -- saying it, and being taken in ----------------------------------------------------------------------------------------


def test_a_peer_with_one_link_or_none_says_that_it_is_urgent_and_one_with_two_does_not() -> None:
    bench = PeerBench()
    bench.join(*MANY[:4])
    fars = [Far(bench, record, record.id[8:]) for record in MANY[:4]]
    for far in fars:
        far.connects()
        far.comes_up()
    assert [body.urgent for _, body in bench.sent(Hello)] == [True, True, False, False]


def test_inbound_links_alone_never_fill_a_peer_up() -> None:
    bench, _ = full()
    Far(bench, peer(20)).hello()
    assert [body.why for body in bench.replies(Refused)] == [Why.FULL]
    bench.join(*MANY)
    assert bench.engine.view.dialled_count == 2 and len(bench.engine.view) == 6


def test_a_full_peer_takes_an_isolated_one_in_and_keeps_all_its_links() -> None:
    bench, fars = full()
    isolated = urgent_hello(bench, 20)
    assert isolated.comes_up().link.state is LinkState.UP
    assert all(far.link.state is LinkState.UP for far in fars) and bench.count("links.guests") == 1


def test_who_always_says_urgent_takes_the_spare_places_and_nobody_elses_link() -> None:
    bench, fars = full(neighbours_spare=2)
    for number in range(20, 40):
        urgent_hello(bench, number)
    assert len(bench.replies(Refused)) == 18 and len(bench.engine.view) == 6
    assert all(far.link.state is LinkState.UP for far in fars) and bench.sent(Bye) == []


def test_there_are_never_more_links_than_the_places_and_the_spare_ones() -> None:
    bench, _ = full(neighbours_spare=2)
    for number in range(20, 30):
        urgent_hello(bench, number)
    bench.join(*MANY)
    for number in range(30, 40):
        urgent_hello(bench, number)
    assert len(bench.engine.view) == 8 and bench.engine.view.dialled_count == 2


def test_a_guest_that_has_found_others_makes_room_for_the_next_one() -> None:
    bench, _ = full(neighbours_spare=1)
    first = urgent_hello(bench, 20).comes_up()
    urgent_hello(bench, 21)
    assert len(bench.replies(Welcome)) == 5
    says(first, 3)
    urgent_hello(bench, 22)
    assert len(bench.replies(Welcome)) == 6


# -- giving up what is too many -------------------------------------------------------------------------------------------


def over_full() -> tuple[PeerBench, list[Far]]:
    """A peer with all the links that it wants and one in a spare place."""
    bench, fars = full()
    bench.join(*MANY[:2])
    own = [Far(bench, record, record.id[8:]).comes_up() for record in MANY[:2]]
    return bench, [*fars, *own, urgent_hello(bench, 20).comes_up()]


def test_who_has_too_many_gives_up_a_link_of_somebody_that_has_others_and_names_it_candidates() -> None:
    bench, fars = over_full()
    says(fars[1], 2)
    assert bench.sent(Bye) == [], "it would be left with one"
    key = fars[2].key
    says(fars[2], 3)
    ((at, bye),) = bench.sent(Bye)
    assert at == key and len(bye.candidates) > 0 and fars[2].record not in bye.candidates
    assert len(bench.engine.view) == 6 and bench.count("links.shed") == 1


def test_links_are_given_up_one_at_a_time_and_only_while_there_are_too_many() -> None:
    bench, fars = over_full()
    urgent_hello(bench, 21).comes_up()
    for far in fars[:4]:
        if bench.engine.view.by_peer(far.record.id):
            says(far, 9)
    assert len(bench.sent(Bye)) == 1
    bench.now += DEFAULT.liveness_interval_s
    for far in fars[:4] * 3:
        if bench.engine.view.by_peer(far.record.id):
            says(far, 9)
    assert len(bench.sent(Bye)) == 2 and len(bench.engine.view) == 6


def test_who_is_given_up_dials_a_candidate_that_it_was_named_at_once() -> None:
    bench = PeerBench(knobs=config(neighbours_dialled=1))
    bench.join(peer(2))
    far = Far(bench, peer(2)).comes_up()
    far.asks(Bye(far.link.mine, "links enough", [MANY[0]]))
    assert opened(bench) == [MANY[0]]


# -- doubt ----------------------------------------------------------------------------------------------------------------


def settled(**knobs: float) -> tuple[PeerBench, int, Far]:
    """A peer that has the one link of its own that it wants, and two others."""
    bench = PeerBench(knobs=config(neighbours_dialled=1, **knobs))
    bench.attended = True
    key = bench.join(peer(50))
    own = Far(bench, peer(50)).comes_up()
    for number in (2, 3, 4):
        neighbour(bench, number)
    bench.forget()
    return bench, key, own


def falls_silent(bench: PeerBench, number: int) -> None:
    """That neighbour misses three probes; all others speak."""
    others = [far for far in (Far(bench, link.peer, link.theirs) for link in bench.engine.view.links()) if far.record != peer(number)]
    while bench.engine.view.by_peer(peer(number).id):
        bench.wait(1.0)
        for far in others:
            far.asks(Probe(1.0, 5000, far.link.mine, b"a probe!"))


def test_who_doubts_nothing_dials_nobody_beyond_what_it_wants() -> None:
    bench, key, _ = settled()
    for _ in range(20):
        bench.reply(key, Present(40, members(MANY)))
        bench.now += DEFAULT.presence_interval_s
    assert opened(bench) == []


def test_after_a_neighbour_fell_silent_somebody_random_of_a_seeds_list_is_dialled_each_interval() -> None:
    bench, key, _ = settled()
    falls_silent(bench, 2)
    bench.reply(key, Present(40, members(MANY)))
    bench.reply(key, Present(40, members(MANY)))
    assert len(opened(bench)) == 1 and bench.count("renewals.dialled") == 1
    bench.now += DEFAULT.presence_interval_s
    bench.reply(key, Present(40, members(MANY)))
    assert len(opened(bench)) == 2


def test_a_neighbour_that_crashed_is_no_reason_to_doubt() -> None:
    bench, key, _ = settled()
    Far(bench, peer(2), (2).to_bytes(8, "big")).crashes()
    bench.reply(key, Present(40, members(MANY)))
    assert opened(bench) == [] and bench.count("renewals.doubts") == 0


def comes_back(bench: PeerBench) -> int:
    """The seed answers again; its new key."""
    while not bench.keys_of(seed_at(1)):
        bench.wait(0.1)
    (again,) = bench.keys_of(seed_at(1))
    bench.connect(again)
    bench.reply(again, Registered(True, 40, members(MANY)))
    return again


def test_a_seed_that_was_silent_and_is_back_is_a_reason_to_doubt() -> None:
    bench, key, _ = settled(liveness_interval_s=1000.0)
    bench.attended = False
    while bench.keys_of(seed_at(1)) == [key]:
        bench.wait(0.1)
    comes_back(bench)
    assert len(opened(bench)) == 1 and bench.count("renewals.doubts") == 1


def test_doubt_begins_once_a_lease_and_one_under_way_is_not_made_longer() -> None:
    bench, key, own = settled()
    renewal, link = bench.engine.membership.renewal, own.link
    link.renews = True
    bench.call(renewal.doubt)
    for _ in range(4):
        renewal.came_up(link)
    bench.now += DEFAULT.lease_s - 1.0
    bench.call(renewal.doubt)
    for _ in range(4):
        renewal.came_up(link)
    bench.call(renewal.doubt)
    bench.reply(key, Present(40, members(MANY)))
    assert opened(bench) == [] and bench.count("renewals.doubts") == 1
    bench.now += 1.0
    bench.call(renewal.doubt)
    assert bench.count("renewals.doubts") == 2


def test_a_seed_that_was_started_anew_is_no_reason_to_doubt() -> None:
    bench, key, _ = settled()
    bench.disconnect(key)
    while not bench.keys_of(seed_at(1)):
        bench.wait(0.1)
    bench.disconnect(bench.keys_of(seed_at(1))[0])
    comes_back(bench)
    assert opened(bench) == [] and bench.count("renewals.doubts") == 0


def test_doubt_is_over_when_eight_random_peers_were_reached_and_the_oldest_links_made_room() -> None:
    bench, key, own = settled()
    falls_silent(bench, 2)
    for _ in range(12):
        bench.reply(key, Present(40, members(MANY)))
        for record in opened(bench):
            link = bench.engine.view.by_peer(record.id)
            if link is not None and link.state is LinkState.DIALLING:
                Far(bench, record, record.id[8:]).comes_up()
        for link in bench.engine.view.links():
            if link.state is LinkState.UP and bench.engine.view.by_key(link.key):
                says(Far(bench, link.peer, link.theirs), 8)
        bench.now += DEFAULT.presence_interval_s
    assert bench.count("renewals.dialled") == 8 == bench.count("links.renewed")
    assert bench.engine.view.by_peer(own.record.id) is None, "the oldest went first"
    assert bench.engine.view.dialled_count == 1


@pytest.mark.parametrize("up_count", [1, 2])
def test_who_has_few_links_gives_none_up(up_count: int) -> None:
    bench = PeerBench(knobs=config(neighbours_dialled=1, neighbours_max=2, neighbours_spare=4))
    fars = [urgent_hello(bench, number).comes_up() for number in range(2, 2 + up_count)]
    for far in fars:
        says(far, 9)
    assert bench.sent(Bye) == []
