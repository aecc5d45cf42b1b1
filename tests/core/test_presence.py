"""A peer's dealings with its seeds: which it asks, how it stays listed, and what it does when they go."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.core.harness import (
    EPOCH,
    START,
    PeerBench,
    config,
    deaths_frame,
    members,
    neighbour,
    peer,
    seed_at,
)
from zmqgossip.core import outbox
from zmqgossip.core.codes import Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import NoSeed, RegistrationRefused, SeedAccepted, SeedLost, WrongCluster
from zmqgossip.core.messages import (
    Leave,
    LeaveHeard,
    List,
    Listed,
    NotListed,
    Presence,
    Present,
    Register,
    Registered,
    Report,
    UnknownPeer,
    Verdict,
    WrongCluster as WrongClusterBody,
)
from zmqgossip.core.presence import QUEUE_MAX
from zmqgossip.core.types import FIRST_ID, Endpoint, PeerRecord, PeerState
from zmqgossip.core.wire import Codec

INTERVAL = DEFAULT.presence_interval_s
TIMEOUT = DEFAULT.seed_timeout_s


def started(seeds: int, *, luck: int = 1, **knobs: float) -> PeerBench:
    bench = PeerBench(seeds=seeds, luck=luck, knobs=config(**knobs))
    bench.start()
    return bench


def listed(seeds: int = 1, **knobs: float) -> tuple[PeerBench, list[int]]:
    """A peer that all the seeds it chose have listed and answer, and their keys."""
    bench = started(seeds, **knobs)
    keys = bench.asked_seeds
    for key in keys:
        bench.listed_by(key)
    bench.forget()
    bench.attended = True
    return bench, keys


def asked_at(bench: PeerBench, seed: Endpoint) -> list[float]:
    """When a DEALER to that seed was opened."""
    return [at for at, effect in bench.effects if effect[0] == outbox.OPEN and effect[2] == seed]


def seeds_opened(bench: PeerBench) -> list[Endpoint]:
    return [bench.open[key] for key in bench.asked_seeds]


# -- choosing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "wanted"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (8, 5), (9, 5)])
def test_more_than_half_of_the_seeds_are_asked(seeds: int, wanted: int) -> None:
    asked = seeds_opened(started(seeds))
    assert len(asked) == len(set(asked)) == wanted
    assert set(asked) <= {seed_at(number) for number in range(1, seeds + 1)}


def test_which_seeds_is_chance() -> None:
    choices = {frozenset(map(str, seeds_opened(started(4, luck=luck)))) for luck in range(40)}
    assert len(choices) == 4


# -- being listed ---------------------------------------------------------------------------------------------------------


def registrations(bench: PeerBench) -> list[tuple[int, PeerRecord, bool]]:
    """Registrations that went out: to whom, of whom, and whether with a ticket of the peer's own."""
    return [(key, body.record, bench.engine.presence.has_ticket(body.ticket)) for key, body in bench.sent(Register)]


def test_a_peer_registers_when_the_seed_is_connected() -> None:
    bench = started(1)
    assert bench.sent(Register) == []
    (key,) = bench.asked_seeds
    bench.connect(key)
    assert registrations(bench) == [(key, bench.engine.me, True)]


def test_it_is_told_of_its_listing_once() -> None:
    bench = started(1)
    (key,) = bench.asked_seeds
    bench.connect(key)
    bench.reply(key, Registered(False, 7, []))
    assert bench.events(SeedAccepted) == [] and bench.engine.presence.listed_count == 0
    for _ in range(2):
        bench.reply(key, Registered(True, 8, []))
    assert bench.events(SeedAccepted) == [SeedAccepted(seed_at(1), 8)] and bench.engine.presence.listed_count == 1


def test_it_takes_the_union_of_what_its_seeds_name() -> None:
    bench = started(2)
    first, second = bench.asked_seeds
    bench.connect(first)
    bench.connect(second)
    bench.reply(first, Registered(False, 2, members([peer(2), peer(3)])))
    bench.reply(second, Registered(False, 2, members([peer(3), peer(4)])))
    assert {member.record for member in bench.engine.members.living()} == {peer(2), peer(3), peer(4)}


def test_a_peer_that_is_not_listed_says_so_and_tries_again_after_an_interval() -> None:
    bench = started(1)
    (key,) = bench.asked_seeds
    bench.connect(key)
    bench.forget()
    bench.reply(key, NotListed(Why.UNREACHABLE, "10.0.0.1", 6000, "no connection in time"))
    text = "no connection in time"
    assert bench.events(RegistrationRefused) == [RegistrationRefused(seed_at(1), Why.UNREACHABLE, Endpoint("10.0.0.1", 6000), text)]
    bench.wait(INTERVAL * (1 - DEFAULT.presence_jitter) - 0.1)
    assert bench.sent(Register) == []
    assert bench.events(SeedLost) == [], "the seed did answer"
    bench.wait(INTERVAL)
    assert bench.sent(Register)


# -- staying listed -------------------------------------------------------------------------------------------------------


def test_presence_is_renewed_with_the_ticket_every_interval_jittered_downwards_only() -> None:
    bench, (key,) = listed()
    bench.wait(40 * INTERVAL)
    times = [START, *bench.sent_at(Presence)]
    pauses = [later - at for at, later in pairwise(times)]
    assert all(INTERVAL * (1 - DEFAULT.presence_jitter) <= pause <= INTERVAL for pause in pauses)
    assert len(pauses) >= 40 and max(pauses) - min(pauses) > 1.0
    assert {(to, body.record, body.links) for to, body in bench.sent(Presence)} == {(key, bench.engine.me, 0)}
    (ticket,) = {body.ticket for _, body in bench.sent(Presence)}
    assert bench.engine.presence.has_ticket(ticket)


def test_every_seed_has_a_beat_of_its_own() -> None:
    bench, keys = listed(4)
    bench.wait(20 * INTERVAL)
    assert {key for key, _ in bench.sent(Presence)} == set(keys)
    assert len(set(bench.sent_at(Presence))) == len(bench.sent(Presence))


def test_an_update_says_how_many_links_are_up() -> None:
    bench, _ = listed()
    neighbour(bench, 2)
    neighbour(bench, 3)
    bench.forget()
    bench.wait(INTERVAL)
    assert bench.sent(Presence)[-1][1].links == 2


def test_a_seed_that_does_not_know_the_peer_is_registered_with_again_at_once() -> None:
    bench, (key,) = listed()
    bench.attended = False
    while not bench.sent(Presence):
        bench.wait(0.1)
    bench.reply(key, UnknownPeer(0, 0))
    assert registrations(bench) == [(key, bench.engine.me, True)]
    bench.reply(key, Registered(False, 0, []))
    bench.reply(key, Registered(True, 1, []))
    assert bench.events(SeedAccepted) == [SeedAccepted(seed_at(1), 1)]
    bench.wait(INTERVAL)
    assert bench.engine.presence.has_ticket(bench.sent(Presence)[-1][1].ticket)


def test_a_seed_that_holds_the_peer_dead_gets_a_newer_record() -> None:
    bench, (key,) = listed()
    bench.attended = False
    while not bench.sent(Presence):
        bench.wait(0.1)
    bench.reply(key, UnknownPeer(EPOCH, 4))
    assert registrations(bench) == [(key, bench.engine.me, True)] and bench.engine.me.revision == 5


def test_several_seeds_that_hold_the_peer_dead_all_get_the_newer_record_at_once() -> None:
    bench = started(2)
    for key in bench.asked_seeds:
        bench.connect(key)
    for key in bench.asked_seeds:
        bench.reply(key, UnknownPeer(EPOCH, 0))
    last = {key: body.record.revision for key, body in bench.sent(Register)}
    assert last == dict.fromkeys(bench.asked_seeds, 1)


@pytest.mark.parametrize("answer", [UnknownPeer(0, 0), UnknownPeer(EPOCH + 1, 0), UnknownPeer(EPOCH, 2**32 - 1)])
def test_a_seed_that_answers_every_registration_with_unknown_is_not_asked_at_wire_speed(answer: UnknownPeer) -> None:
    bench = started(1)
    (key,) = bench.asked_seeds
    bench.connect(key)
    for _ in range(100):
        bench.reply(key, answer)
    assert len(bench.sent(Register)) <= 2
    bench.wait(INTERVAL)
    assert len(bench.sent(Register)) >= 2, "but again later"


def test_a_new_standing_is_told_to_every_seed_that_listed_the_peer() -> None:
    bench, keys = listed(4)
    neighbour(bench, 2)
    assert bench.engine.me.ready
    assert {key: body.record.ready for key, body in bench.sent(Presence)} == dict.fromkeys(keys, True)


@pytest.mark.parametrize("standing", ["asked", "pending"])
@pytest.mark.parametrize("change", ["ready", "newer"])
def test_what_became_true_while_a_registration_was_under_way_is_told_when_it_is_listed(standing: str, change: str) -> None:
    bench = started(1)
    (key,) = bench.asked_seeds
    far = neighbour(bench, 2) if change == "newer" else None
    bench.connect(key)
    if standing == "pending":
        bench.reply(key, Registered(False, 1, []))
    if far is None:
        neighbour(bench, 2)
    else:
        far.gossip(deaths_frame(bench.engine.me))
    assert bench.engine.me.ready and bench.engine.me.revision == (change == "newer")
    bench.reply(key, Registered(True, 1, []))
    told = [body.record for _, body in [*bench.sent(Register), *bench.sent(Presence)]]
    assert bench.engine.me in told


# -- seeds that go --------------------------------------------------------------------------------------------------------


def test_a_seed_that_never_connects_is_replaced_by_another() -> None:
    bench = started(4)
    first = bench.asked_seeds
    silent = bench.open[first[0]]
    for key in first[1:]:
        bench.listed_by(key)
    bench.attended = True
    bench.wait(TIMEOUT - 0.001)
    assert bench.events(SeedLost) == []
    bench.wait(0.001)
    assert [lost.seed for lost in bench.events(SeedLost)] == [silent]
    (spare,) = set(bench.asked_seeds) - set(first)
    bench.connect(spare)
    assert bench.sent(Register)[-1][0] == spare


WHY_LOST = {
    "refuses": "nobody listens",
    "drops": "the connection dropped",
    "hangs at register": "no answer",
    "hangs at presence": "no answer",
}


@pytest.mark.parametrize("how", WHY_LOST)
def test_a_seed_that_goes_is_told_once_and_another_is_asked_in_addition(how: str) -> None:
    bench = listed(4)[0] if how == "hangs at presence" else started(4)
    keys = bench.asked_seeds
    gone = keys[0]
    seed = bench.open[gone]
    if how == "refuses":
        bench.disconnect(gone)
    elif how == "drops":
        bench.listed_by(gone)
        bench.disconnect(gone)
    elif how == "hangs at register":
        for key in keys:
            bench.connect(key)
        for key in keys[1:]:
            bench.reply(key, Registered(True, 1, []))
        bench.wait(TIMEOUT)
    else:
        bench.attended = False
        while not bench.events(SeedLost):
            bench.wait(0.1)
            for key, _ in bench.sent(Presence):
                if key != gone:
                    bench.reply(key, Present(1, []))
            assert bench.now < START + 2 * INTERVAL
    assert bench.events(SeedLost) == [SeedLost(seed, WHY_LOST[how])]
    assert gone not in bench.open and len(bench.asked_seeds) == 3


def test_a_seed_that_connects_late_has_the_whole_time_to_answer() -> None:
    bench = started(1)
    (key,) = bench.asked_seeds
    bench.wait(TIMEOUT - 0.1)
    bench.connect(key)
    bench.wait(TIMEOUT - 0.001)
    assert bench.events(SeedLost) == []
    bench.wait(0.001)
    assert len(bench.events(SeedLost)) == 1


def test_what_a_lost_seed_says_afterwards_is_dropped_and_counted() -> None:
    bench, (key,) = listed()
    bench.disconnect(key)
    bench.told(key, peer(2))
    assert bench.state_of(peer(2)) is None and bench.count("dropped.link_gone") == 1


def test_a_seed_is_tried_again_for_ever_with_pauses_that_grow_to_one_interval() -> None:
    bench = started(1)
    for _ in range(3000):
        for key in bench.asked_seeds:
            bench.disconnect(key)
        bench.wait(0.1)
    pauses = [later - at for at, later in pairwise(asked_at(bench, seed_at(1)))]
    assert len(pauses) > 25
    for number, pause in enumerate(pauses):
        most = min(DEFAULT.reconnect_min_s * 2**number, INTERVAL)
        assert most / 2 <= pause <= most + 0.1001
    assert len(bench.events(SeedLost)) == 1


def test_a_seed_is_tried_again_when_its_place_is_also_the_key_of_a_link() -> None:
    bench = PeerBench(seeds=5, luck=1)
    bench.start()
    for key in bench.asked_seeds:
        bench.listed_by(key, peer(2))
    lost = seed_at(5)
    (key,), link = bench.keys_of(lost), bench.link(peer(2))
    assert link.key == 4, "the fifth seed's place, counted from 0"
    bench.disconnect(key)
    bench.forget()
    bench.wait(DEFAULT.reconnect_min_s)
    assert lost in bench.open.values() and bench.engine.view.by_key(4) is link


def test_a_seed_that_answers_again_begins_with_the_shortest_pause_when_it_goes_again() -> None:
    bench = started(1)
    for _ in range(300):
        for key in bench.asked_seeds:
            bench.disconnect(key)
        bench.wait(0.1)
    while not bench.asked_seeds:
        bench.wait(0.1)
    bench.listed_by(bench.asked_seeds[0])
    bench.forget()
    bench.disconnect(bench.asked_seeds[0])
    bench.wait(DEFAULT.reconnect_min_s)
    assert len(asked_at(bench, seed_at(1))) == 1 and len(bench.events(SeedLost)) == 1


def test_when_no_seed_answers_that_is_told_once_and_again_only_after_one_has_answered() -> None:
    bench = started(4)
    for _ in range(600):
        for key in bench.asked_seeds:
            bench.disconnect(key)
        bench.wait(0.1)
    assert [set(event.seeds) for event in bench.events(NoSeed)] == [{seed_at(number) for number in range(1, 5)}]
    while not bench.asked_seeds:
        bench.wait(0.1)
    bench.listed_by(bench.asked_seeds[0])
    assert len(bench.events(NoSeed)) == 1
    for _ in range(200):
        for key in bench.asked_seeds:
            bench.disconnect(key)
        bench.wait(0.1)
    assert len(bench.events(NoSeed)) == 2


def test_while_one_seed_answers_nobody_says_that_none_does() -> None:
    bench = started(4)
    alive = bench.asked_seeds[0]
    bench.listed_by(alive)
    bench.attended = True
    for _ in range(600):
        for key in bench.asked_seeds:
            if key != alive:
                bench.disconnect(key)
        bench.wait(0.1)
    assert bench.events(NoSeed) == [] and alive in bench.open and len(bench.events(SeedLost)) == 3


def test_a_peer_that_was_away_gives_its_seeds_the_whole_time_out_again() -> None:
    bench = started(1)
    bench.connect(bench.asked_seeds[0])
    bench.sleep(TIMEOUT + 10.0)
    assert bench.events(SeedLost) == []
    bench.wait(TIMEOUT)
    assert len(bench.events(SeedLost)) == 1


# -- another cluster ------------------------------------------------------------------------------------------------------


def foreign(bench: PeerBench, key: int) -> None:
    """The seed under `key` belongs to another cluster."""
    bench.connect(key)
    bench.call(bench.engine.on_reply, key, Codec(12345).encode(WrongClusterBody()))


def fatal(bench: PeerBench) -> list[bool]:
    return [event.fatal for event in bench.events(WrongCluster)]


def test_a_foreign_seed_is_told_once_and_replaced() -> None:
    bench = started(4)
    foreign(bench, bench.asked_seeds[0])
    assert fatal(bench) == [False] and len(bench.asked_seeds) == 3
    for _ in range(600):
        bench.wait(0.1)
        for key in bench.asked_seeds:
            if bench.open[key] == bench.events(WrongCluster)[0].seed:
                foreign(bench, key)
    assert fatal(bench).count(False) == 1


def all_tried(bench: PeerBench, foreign_seeds: int, answering: int) -> None:
    """Every configured seed is asked: the first ones are foreign, the next list the peer, the rest refuse."""
    kinds = ["foreign"] * foreign_seeds + ["lists"] * answering
    done: list[int] = []
    while fresh := [key for key in bench.asked_seeds if key not in done]:
        key = fresh[0]
        done.append(key)
        kind = kinds[len(done) - 1] if len(done) <= len(kinds) else "refuses"
        if kind == "foreign":
            foreign(bench, key)
        elif kind == "lists":
            bench.listed_by(key)
        else:
            bench.disconnect(key)


@pytest.mark.parametrize(
    ("foreign_seeds", "answering", "is_fatal"), [(4, 0, True), (1, 0, True), (3, 1, False), (1, 3, False), (0, 0, False)]
)
def test_another_cluster_is_fatal_only_if_no_configured_seed_answers_otherwise(foreign_seeds: int, answering: int, is_fatal: bool) -> None:
    bench = started(4)
    all_tried(bench, foreign_seeds, answering)
    assert any(fatal(bench)) == is_fatal
    bench.wait(0.1)
    assert fatal(bench).count(False) == foreign_seeds


def test_a_seed_that_turns_foreign_later_is_not_fatal() -> None:
    bench, (key,) = listed()
    bench.disconnect(key)
    bench.wait(1.0)
    foreign(bench, bench.asked_seeds[0])
    assert fatal(bench) == [False]


def test_all_seeds_that_turn_foreign_later_are_not_fatal() -> None:
    bench, keys = listed(2)
    for key in keys:
        bench.call(bench.engine.on_reply, key, Codec(12345).encode(WrongClusterBody()))
    assert fatal(bench) == [False, False] and len(bench.events(NoSeed)) == 1


# -- asking for others ----------------------------------------------------------------------------------------------------


def test_a_peer_without_a_link_asks_for_page_after_page() -> None:
    bench, (key,) = listed()
    bench.wait(1.5)
    assert [body.after for _, body in bench.sent(List)] == [FIRST_ID]
    bench.reply(key, Listed(600, True, members([peer(2), peer(3)])))
    bench.wait(1.5)
    assert bench.sent(List)[-1][1].after == peer(3).id
    bench.reply(key, Listed(600, False, members([peer(4)])))
    bench.forget()
    bench.wait(1.5)
    assert {body.after for _, body in bench.sent(List)} == {FIRST_ID}


@pytest.mark.parametrize(("wanted", "asks"), [(0, False), (1, False), (2, True)])
def test_a_linked_peer_asks_only_while_it_waits_for_others_to_be_ready(wanted: int, asks: bool) -> None:
    bench, (key,) = listed(neighbours_dialled=1)
    neighbour(bench, 2)
    bench.told(key, peer(2, ready=True))
    bench.engine.ready_wanted = wanted
    bench.forget()
    bench.wait(10.0)
    assert bool(bench.sent(List)) == asks


@pytest.mark.parametrize("page", [Listed(0, True, []), Listed(9, True, members([peer(2)]))])
def test_a_seed_whose_pages_never_end_is_asked_no_faster(page: Listed) -> None:
    bench, (key,) = listed(presence_interval_s=1000.0)
    for _ in range(100):
        bench.wait(0.1)
        bench.reply(key, page)
    assert len(bench.sent(List)) <= 10.0 / (0.75 * DEFAULT.refill_interval_s)


# -- reports --------------------------------------------------------------------------------------------------------------


def reported() -> tuple[PeerBench, list[int], int]:
    """A peer with four seeds, three chosen, that has just reported neighbour 2; the chosen keys and the errand's."""
    bench, chosen = listed(4)
    neighbour(bench, 2).crashes()
    (errand,) = set(bench.asked_seeds) - set(chosen)
    return bench, chosen, errand


def test_a_report_goes_to_the_chosen_seeds_at_once_and_to_the_others_by_an_errand() -> None:
    bench, chosen, errand = reported()
    assert sorted(key for key, _ in bench.sent(Report)) == chosen
    bench.connect(errand)
    assert sorted(key for key, _ in bench.sent(Report)) == [*chosen, errand]
    assert {body.target for _, body in bench.sent(Report)} == {peer(2)}
    assert errand not in [key for key, _ in bench.sent(Register)], "an errand is not a registration"


def test_an_errand_ends_with_its_answer() -> None:
    bench, _, errand = reported()
    bench.connect(errand)
    bench.reply(errand, Verdict(peer(2), PeerState.SUSPECT))
    assert errand not in bench.open


def test_an_errand_with_two_reports_waits_for_two_answers() -> None:
    bench, _, errand = reported()
    neighbour(bench, 3).crashes()
    bench.connect(errand)
    assert [body.target for key, body in bench.sent(Report) if key == errand] == [peer(2), peer(3)]
    bench.reply(errand, Verdict(peer(2), PeerState.SUSPECT))
    assert errand in bench.open
    bench.reply(errand, Verdict(peer(3), PeerState.SUSPECT))
    assert errand not in bench.open


def test_an_errand_that_connects_late_has_the_whole_time_for_its_answer() -> None:
    bench, _, errand = reported()
    bench.wait(TIMEOUT - 0.1)
    bench.connect(errand)
    bench.wait(TIMEOUT - 0.001)
    assert errand in bench.open
    bench.wait(0.001)
    assert errand not in bench.open


def test_a_seed_on_an_errand_that_becomes_a_chosen_one_is_asked_on_one_connection() -> None:
    bench, chosen, errand = reported()
    seed = bench.open[errand]
    bench.disconnect(chosen[0])
    assert len(bench.keys_of(seed)) == 1
    bench.connect(bench.keys_of(seed)[0])
    assert bench.sent(Register)[-1][0] == bench.keys_of(seed)[0]
    assert [body.target for key, body in bench.sent(Report) if key in bench.keys_of(seed)] == [peer(2)], "the report is not forgotten"


def test_a_seed_that_a_report_has_asked_again_early_is_not_asked_a_second_time() -> None:
    bench, (key,) = listed()
    far = neighbour(bench, 2)
    bench.disconnect(key)
    far.crashes()
    (again,) = bench.asked_seeds
    bench.wait(1.0)  # when it would have been tried again
    assert bench.asked_seeds == [again]


def test_an_errand_that_is_not_answered_ends_too_and_nobody_misses_that_seed() -> None:
    bench, _, errand = reported()
    bench.connect(errand)
    bench.wait(TIMEOUT)
    assert errand not in bench.open and bench.events(SeedLost) == []


@pytest.mark.parametrize("how", ["refused", "hangs"])
def test_a_report_whose_errand_failed_is_not_sent_with_the_next(how: str) -> None:
    bench, _, errand = reported()
    far = neighbour(bench, 3)
    if how == "refused":
        bench.disconnect(errand)
    else:
        bench.wait(TIMEOUT)
    assert errand not in bench.open and bench.count("dropped.unsent_to_seed") == 1
    chosen = bench.asked_seeds
    far.crashes()
    (again,) = set(bench.asked_seeds) - set(chosen)
    bench.connect(again)
    assert [body.target for key, body in bench.sent(Report) if key == again] == [peer(3)]


@pytest.mark.parametrize("body", [UnknownPeer(0, 0), UnknownPeer(EPOCH, 0), Present(0, []), LeaveHeard(), Listed(0, False, [])])
def test_whatever_answers_an_errand_the_peer_survives_it(body: UnknownPeer) -> None:
    bench, _, errand = reported()
    bench.connect(errand)
    for _ in range(3):
        bench.reply(errand, body)
    assert errand not in bench.open
    bench.wait(3 * INTERVAL)


def test_a_report_waits_for_a_chosen_seed_that_is_away_and_goes_out_when_it_is_back() -> None:
    bench, (key,) = listed()
    far = neighbour(bench, 2)
    bench.disconnect(key)
    far.crashes()
    assert bench.sent(Report) == []
    bench.connect(bench.asked_seeds[0])
    assert [body.target for _, body in bench.sent(Report)] == [peer(2)]


def test_reports_that_wait_are_bounded_and_the_oldest_goes() -> None:
    bench, (key,) = listed()
    bench.disconnect(key)
    for number in range(2, 2 + QUEUE_MAX + 10):
        neighbour(bench, number).crashes()
    while not bench.asked_seeds:
        bench.wait(0.1)
    bench.connect(bench.asked_seeds[0])
    assert [body.target for _, body in bench.sent(Report)] == [peer(number) for number in range(12, 12 + QUEUE_MAX)]
    assert bench.count("dropped.report_queue_full") == 10


# -- leaving --------------------------------------------------------------------------------------------------------------


def test_a_leave_goes_to_all_seeds_with_the_ticket_of_each() -> None:
    bench, chosen = listed(4)
    bench.call(bench.engine.leave)
    assert sorted(key for key, _ in bench.sent(Leave)) == chosen
    tickets = [body.ticket for _, body in bench.sent(Leave)]
    assert all(bench.engine.presence.has_ticket(ticket) for ticket in tickets) and len(tickets) == len(dict.fromkeys(tickets))
    (errand,) = set(bench.asked_seeds) - set(chosen)
    bench.connect(errand)
    assert bench.sent(Leave)[-1][0] == errand and bench.sent(Register) == []


def test_a_seed_that_was_just_being_asked_hears_the_leave_instead_of_a_registration() -> None:
    bench = started(2)
    bench.call(bench.engine.leave)
    for key in bench.asked_seeds:
        bench.connect(key)
    assert sorted(key for key, _ in bench.sent(Leave)) == sorted(bench.asked_seeds) and bench.sent(Register) == []


def test_who_leaves_tries_no_seed_again() -> None:
    bench, _ = listed(4)
    bench.call(bench.engine.leave)
    for key in bench.asked_seeds:
        bench.disconnect(key)
    bench.forget()
    bench.wait(60.0)
    assert bench.of(outbox.OPEN) == [] and bench.events(SeedLost) == [] and bench.events(NoSeed) == []


def test_who_leaves_drops_the_reports_that_waited() -> None:
    bench, _, errand = reported()
    bench.call(bench.engine.leave)
    bench.connect(errand)
    assert [type(body) for key, body in [*bench.sent(Report), *bench.sent(Leave)] if key == errand] == [Leave]
