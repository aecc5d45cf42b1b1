"""Before a seed lists a peer it dials back: how often, how fast, and what the peer is told when that fails."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from tests.core.harness import ACCEPTED, EPOCH, REFUSED, SILENT, START, TICKET, SeedBench, config, peer, steady, ticket_of
from zmqgossip.core import outbox
from zmqgossip.core.codes import Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.dialback import BEHIND_MAX
from zmqgossip.core.events import PeerListed, PeerNotListed, RegistrationReceived
from zmqgossip.core.messages import Check, Checked, Leave, LeaveHeard, NotListed, Register, Registered
from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import Endpoint, PeerRecord, PeerState

OPEN_MAX = DEFAULT.dials_open_max
ATTEMPT_S = DEFAULT.dial_timeout_s


def register(bench: SeedBench, record: PeerRecord) -> None:
    bench.hears(record, Register(record, ticket_of(record)))


def begun_at(bench: SeedBench) -> list[float]:
    """When visits began."""
    return [at for at, effect in bench.effects if effect[0] == outbox.OPEN]


def knock(bench: SeedBench, record: PeerRecord, result: Knock) -> None:
    """The last knock at that peer's publishing port meets `result`."""
    key = next(key for key, endpoints in reversed(bench.knocks) if endpoints == (record.publish_endpoint,))
    bench.knocked(key, result)


def fail(bench: SeedBench, record: PeerRecord, how: str) -> None:
    """One attempt fails."""
    if how == "router refuses":
        bench.disconnect(bench.visit(record))
        knock(bench, record, REFUSED)
    elif how == "router is silent":
        knock(bench, record, ACCEPTED)
        bench.wait(ATTEMPT_S)
    elif how == "router connects and is silent":
        bench.connect(bench.visit(record))
        knock(bench, record, ACCEPTED)
        bench.wait(ATTEMPT_S)
    elif how == "publisher refuses":
        bench.answers_visit(record)
        knock(bench, record, REFUSED)
    elif how == "publisher is silent":
        bench.answers_visit(record)
        knock(bench, record, SILENT)
    elif how == "somebody else":
        bench.answers_visit(record, who=peer(77))
        knock(bench, record, ACCEPTED)


def wait_for_next_attempt(bench: SeedBench, record: PeerRecord) -> None:
    for _ in range(100):
        if bench.keys_of(record.endpoint):
            return
        bench.wait(0.05)
    raise AssertionError("no further attempt")


# -- one registration -----------------------------------------------------------------------------------------------------


def test_a_registration_is_answered_at_once_and_again_when_the_peer_was_reached() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    (first,) = bench.told(peer(2), Registered)
    assert not first.listed and bench.state_of(peer(2)) is None and bench.events(PeerListed) == []
    assert bench.events(RegistrationReceived) == [RegistrationReceived(peer(2), "10.0.0.2")]
    bench.answers_visit(peer(2))
    assert len(bench.told(peer(2), Registered)) == 1, "the publishing port is still in question"
    knock(bench, peer(2), ACCEPTED)
    _, second = bench.told(peer(2), Registered)
    assert second.listed and second.total == 1
    assert bench.state_of(peer(2)) is PeerState.ALIVE and bench.events(PeerListed) == [PeerListed(peer(2), 1)]
    assert bench.open == {}, "the visit is over"


def test_the_order_in_which_both_ports_answer_does_not_matter() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is None
    bench.answers_visit(peer(2))
    assert bench.state_of(peer(2)) is PeerState.ALIVE


def test_the_answer_goes_to_where_the_peer_spoke_from_last() -> None:
    bench = SeedBench()
    for route in (b"old", b"new"):
        bench.request(Register(peer(2), ticket_of(peer(2))), address="10.0.0.2", route=route)
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    answers = [(route, frame) for route, frame in bench.of(outbox.REPLY)]
    assert [route for route, _ in answers] == [b"old", b"new", b"new"]


def test_a_second_registration_while_the_first_is_under_way_dials_no_more() -> None:
    bench = SeedBench()
    for _ in range(5):
        register(bench, peer(2))
    assert len(begun_at(bench)) == 1 and len(bench.told(peer(2), Registered)) == 5


def test_somebody_who_registers_a_peer_in_its_name_gets_nowhere() -> None:
    bench = SeedBench()
    bench.hears(peer(2), Register(peer(2), b"guessed!"))
    for _ in range(DEFAULT.dial_attempts):
        bench.answers_visit(peer(2))
        knock(bench, peer(2), ACCEPTED)
        bench.wait(0.5)
    assert [answer.why for answer in bench.told(peer(2), NotListed)] == [Why.ADDRESS]
    assert bench.state_of(peer(2)) is None


def test_the_line_holds_one_dial_an_address() -> None:
    bench = SeedBench()
    for number in range(2, 50):
        bench.hears(
            peer(number),
            Register(replace(peer(number), host="10.0.0.2", port=5000), ticket_of(peer(number))),
        )
    assert len(begun_at(bench)) == 1


def test_what_is_newly_said_while_the_dial_back_is_under_way_is_what_gets_listed() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    register(bench, peer(2, ready=True))
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None and entry.record.ready


FAILURES = {
    "router refuses": (Why.UNREACHABLE, 5000, "the connection is refused"),
    "router is silent": (Why.UNREACHABLE, 5000, "no answer in time"),
    "router connects and is silent": (Why.UNREACHABLE, 5000, "no answer in time"),
    "publisher refuses": (Why.UNREACHABLE, 6000, "the connection is refused"),
    "publisher is silent": (Why.UNREACHABLE, 6000, "no connection in time"),
    "somebody else": (Why.ADDRESS, 5000, "another peer answers at this address"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_after_three_failed_attempts_the_peer_is_told_which_port_and_why(how: str) -> None:
    bench = SeedBench()
    register(bench, peer(2))
    for attempt in range(3):
        assert bench.told(peer(2), NotListed) == [], f"after {attempt} attempts"
        wait_for_next_attempt(bench, peer(2))
        fail(bench, peer(2), how)
    why, port, text = FAILURES[how]
    assert bench.told(peer(2), NotListed) == [NotListed(why, "10.0.0.2", port, text)]
    assert bench.events(PeerNotListed) == [PeerNotListed(peer(2), why, text)] and bench.state_of(peer(2)) is None
    bench.forget()
    bench.wait(60.0)
    assert begun_at(bench) == [] and bench.open == {}


@pytest.mark.parametrize("how", FAILURES)
def test_one_attempt_that_succeeds_is_enough(how: str) -> None:
    bench = SeedBench()
    register(bench, peer(2))
    for _ in range(2):
        wait_for_next_attempt(bench, peer(2))
        fail(bench, peer(2), how)
    wait_for_next_attempt(bench, peer(2))
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is PeerState.ALIVE and bench.told(peer(2), NotListed) == []


def test_a_peer_that_was_refused_may_register_again() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    for _ in range(3):
        wait_for_next_attempt(bench, peer(2))
        fail(bench, peer(2), "router refuses")
    register(bench, peer(2))
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is PeerState.ALIVE


# -- liars ----------------------------------------------------------------------------------------------------------------


def test_an_address_that_the_connection_does_not_come_from_is_not_even_dialled() -> None:
    bench = SeedBench()
    bench.request(Register(peer(2), ticket_of(peer(2))), address="10.0.0.66")
    (refusal,) = bench.replies(NotListed)
    assert refusal.why is Why.ADDRESS and "10.0.0.66" in refusal.text and bench.open == {} and bench.knocks == []


@pytest.mark.parametrize(("network", "dialled"), [("10.0.0.0/24", True), ("10.1.0.0/16", False), ("::/0", False)])
def test_an_address_in_an_allowed_network_may_be_announced_from_elsewhere(network: str, dialled: bool) -> None:
    bench = SeedBench(knobs=config(advertise_networks=(network,)))
    bench.request(Register(peer(2), ticket_of(peer(2))), address="192.168.7.7")
    assert bool(bench.keys_of(peer(2).endpoint)) == dialled


@pytest.mark.parametrize(
    "who",
    [
        peer(3),
        peer(2, epoch=EPOCH + 1),
        PeerRecord(peer(2).id, EPOCH, 0, "10.0.0.2", 5000, 6001),
    ],
    ids=["another id", "another life", "another publishing port"],
)
def test_somebody_else_at_the_address_is_not_the_peer(who: PeerRecord) -> None:
    bench = SeedBench()
    register(bench, peer(2))
    for _ in range(3):
        wait_for_next_attempt(bench, peer(2))
        bench.answers_visit(peer(2), who=who)
        knock(bench, peer(2), ACCEPTED)
    assert [refusal.why for refusal in bench.told(peer(2), NotListed)] == [Why.ADDRESS]


def test_an_answer_with_another_nonce_is_no_answer() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    key = bench.visit(peer(2))
    bench.connect(key)
    bench.reply(key, Checked(peer(2), b"a guess!", True))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is None and bench.count("visits.stale") == 1


@pytest.mark.parametrize(
    "lie",
    [PeerRecord(peer(2).id, EPOCH, 0, "10.0.0.2", 5000, 6001), peer(2, epoch=EPOCH + 1), peer(2, revision=9)],
    ids=["publish", "epoch", "revision"],
)
def test_what_is_listed_is_what_was_dialled_whatever_is_said_meanwhile(lie: PeerRecord) -> None:
    bench = SeedBench()
    register(bench, peer(2))
    key = bench.visit(peer(2))
    bench.connect(key)
    check = bench.sent(Check)[0][1]
    register(bench, lie)
    if key in bench.open:
        bench.reply(key, Checked(peer(2), check.nonce, True))
        bench.knocked(bench.knocks[0][0], ACCEPTED)
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is None or (entry.record.epoch, entry.record.revision, entry.record.publish) == (EPOCH, 0, 6000)


# -- rate and room --------------------------------------------------------------------------------------------------------


def most_in_a_second(times: list[float]) -> int:
    return max(bisect_left(times, at + 1.0 - 1e-9) - place for place, at in enumerate(times))


def test_no_more_dials_begin_in_any_second_than_the_rate_says() -> None:
    bench = SeedBench(knobs=config(dials_per_s=20, dials_open_max=1000))
    for number in range(2, 102):
        register(bench, peer(number))
    bench.wait(10.0)
    assert len(begun_at(bench)) == 100 and most_in_a_second(begun_at(bench)) == 20


def test_repeated_attempts_count_too() -> None:
    bench = SeedBench(knobs=config(dials_per_s=20))
    for number in range(2, 22):
        register(bench, peer(number))
    for _ in range(300):
        for record in [peer(number) for number in range(2, 22)]:
            for key in bench.keys_of(record.endpoint):
                bench.disconnect(key)
                knock(bench, record, REFUSED)
        bench.wait(0.05)
    assert len(begun_at(bench)) == 3 * 20 and most_in_a_second(begun_at(bench)) <= 20


def test_a_first_wave_as_large_as_may_be_under_way_does_not_wait() -> None:
    bench = SeedBench()
    for number in range(2, 102):
        register(bench, peer(number))
    assert begun_at(bench) == [START] * OPEN_MAX


@pytest.mark.parametrize("how", ["router refuses", "publisher refuses", "somebody else"])
def test_one_that_is_over_makes_room_for_the_next(how: str) -> None:
    bench = SeedBench()
    for number in range(2, 102):
        register(bench, peer(number))
    for number in range(2, 12):
        fail(bench, peer(number), how)
    assert len(bench.open) <= OPEN_MAX and len(bench.keys_of(peer(2 + OPEN_MAX).endpoint)) == 1


def test_everybody_has_its_turn_in_order() -> None:
    bench = SeedBench(knobs=config(dials_per_s=20, dials_open_max=1000))
    everybody = [peer(number) for number in range(2, 102)]
    for record in everybody:
        register(bench, record)
    bench.wait(6.0)
    assert [endpoint for _, endpoint in bench.of(outbox.OPEN)][:100] == [record.endpoint for record in everybody]


# -- who is served first --------------------------------------------------------------------------------------------------


def serve(bench: SeedBench, honest: set[Endpoint], seconds: float) -> dict[Endpoint, float]:
    """Time passes in steps of 10 ms; who is honest answers at once, everybody else refuses. When each honest one was listed."""
    listed: dict[Endpoint, float] = {}
    begun = bench.now
    while bench.now < begun + seconds:
        for key, endpoint in list(bench.open.items()):
            target = bench.engine.visits.target_of(key)
            if target is not None and endpoint in honest:
                bench.answers_visit(target)
                knock(bench, target, ACCEPTED)
                listed[endpoint] = bench.now - begun
            elif target is not None:
                bench.disconnect(key)
                knock(bench, target, REFUSED)
        bench.wait(0.01)
    return listed


def bogus(number: int) -> PeerRecord:
    """Another port of one address, another id."""
    return PeerRecord((7000 + number).to_bytes(16, "big"), EPOCH, 0, "10.0.200.1", 7000 + number, 17000 + number)


def test_one_client_with_200_registrations_does_not_delay_100_with_one_each() -> None:
    bench = SeedBench(knobs=config(dials_client_max=1000))
    for number in range(200):
        record = bogus(number)
        bench.request(Register(record, ticket_of(record)), address=record.host, route=b"the liar")
    for number in range(2, 102):
        register(bench, peer(number))
    listed = serve(bench, {peer(number).endpoint for number in range(2, 102)}, 4.0)
    assert len(listed) == 100
    assert max(listed.values()) < 2.1, "a liar's first attempts and its repetitions together cost them less than a second"


def test_a_client_fills_its_own_places_only() -> None:
    bench = SeedBench()
    for number in range(200):
        record = bogus(number)
        bench.request(Register(record, ticket_of(record)), address=record.host, route=b"the liar")
    room = DEFAULT.dials_client_max
    assert bench.count("dropped.dials_of_client") == bench.count("registrations.busy") == 200 - room
    assert len(bench.keys_of(bogus(0).endpoint)) == 1 and len(bench.open) == room
    serve(bench, set(), 10.0)
    bench.request(Register(bogus(201), ticket_of(bogus(201))), address="10.0.200.1", route=b"the liar")
    assert bench.count("registrations.unreachable") == room and len(bench.open) == 1, "what is over takes no place"


@pytest.mark.parametrize(("address", "taken"), [("10.0.200.1", 5), ("127.0.0.1", 40), ("::ffff:127.0.0.1", 40), ("::1", 40)])
def test_an_address_has_so_many_places_unless_it_is_loopback(address: str, taken: int) -> None:
    bench = SeedBench(knobs=config(dials_address_max=5, advertise_networks=("10.0.200.0/24",)))
    for number in range(40):
        bench.request(Register(bogus(number), TICKET), address=address, route=b"%d" % number)
    assert bench.count("dropped.dials_of_address") == 40 - taken


def test_repeated_attempts_wait_for_first_ones_and_are_not_forgotten_over_them() -> None:
    bench = SeedBench(knobs=config(dials_per_s=10, dials_open_max=10))
    register(bench, peer(2))
    fail(bench, peer(2), "router refuses")
    for number in range(3, 203):
        register(bench, peer(number))
    serve(bench, set(), 5.0)
    places = [endpoint for _, endpoint in bench.of(outbox.OPEN)][1:]
    assert len(places) in range(40, 60) and len({*places}) > 0.85 * len(places)
    assert places.count(peer(2).endpoint) in (1, 2), "one turn in ten is for those who try again"


# -- one address, several registrations -----------------------------------------------------------------------------------


def at_the_same_place(number: int) -> PeerRecord:
    return PeerRecord(peer(number).id, EPOCH, 0, peer(2).host, peer(2).port, peer(2).publish)


def registers(bench: SeedBench, record: PeerRecord, route: bytes) -> None:
    bench.request(Register(record, ticket_of(record)), address=record.host, route=route)


def test_who_registers_an_address_that_is_dialled_already_has_its_turn_right_after() -> None:
    bench = SeedBench()
    newcomer = at_the_same_place(9)
    registers(bench, peer(2), b"of a process that died")
    registers(bench, newcomer, b"of its successor")
    assert len(begun_at(bench)) == 1 and bench.count("registrations.busy") == 0
    bench.answers_visit(peer(2), who=newcomer)
    knock(bench, peer(2), ACCEPTED)
    assert bench.count("registrations.address") == 1, "the one that waits explains it: no further attempt"
    bench.answers_visit(newcomer)
    knock(bench, newcomer, ACCEPTED)
    assert bench.state_of(newcomer) is PeerState.ALIVE and bench.state_of(peer(2)) is None and bench.now == START


def test_a_liar_behind_an_honest_registration_comes_to_nothing() -> None:
    bench = SeedBench()
    liar = at_the_same_place(9)
    registers(bench, peer(2), b"honest")
    registers(bench, liar, b"liar")
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    for _ in range(3):
        wait_for_next_attempt(bench, liar)
        bench.answers_visit(liar, who=peer(2))
        knock(bench, liar, ACCEPTED)
    assert bench.state_of(peer(2)) is PeerState.ALIVE and bench.state_of(liar) is None
    assert bench.count("registrations.address") == 1 and bench.open == {}


def test_a_stranger_who_registers_an_id_that_is_being_dialled_does_not_end_that() -> None:
    bench = SeedBench()
    registers(bench, peer(2), b"honest")
    (key,) = bench.open
    bench.request(Register(peer(2), b"guessed!"), address="10.0.0.2", route=b"liar")
    bench.request(Register(replace(peer(2), port=5001), b"guessed!"), address="10.0.0.2", route=b"liar")
    assert list(bench.open) == [key]
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is PeerState.ALIVE


def test_nobody_fills_the_line_with_copies_of_one_address() -> None:
    bench = SeedBench()
    for number in range(2, 50):
        registers(bench, at_the_same_place(number), b"%d" % number)
    assert bench.count("dropped.dials_behind_full") == 48 - 1 - BEHIND_MAX and len(begun_at(bench)) == 1
    assert bench.count("registrations.busy") == 48 - 1 - BEHIND_MAX


def test_one_connection_waits_behind_itself_for_nothing() -> None:
    bench = SeedBench()
    for number in (2, 3, 4):
        registers(bench, at_the_same_place(number), b"one")
    assert bench.count("dropped.dials_behind_full") == 2


def test_who_waits_behind_and_says_it_again_is_told_at_its_newest_route() -> None:
    bench = SeedBench()
    newcomer = at_the_same_place(9)
    registers(bench, peer(2), b"first")
    for route in (b"old", b"new"):
        registers(bench, newcomer, route)
    bench.hears(peer(2), Leave(peer(2), ticket_of(peer(2)), 0))
    bench.answers_visit(newcomer)
    knock(bench, newcomer, ACCEPTED)
    assert [route for route, _ in bench.of(outbox.REPLY)] == [b"first", b"old", b"new", peer(2).id, b"new"]


def test_who_leaves_while_it_waits_behind_is_forgotten() -> None:
    bench = SeedBench()
    newcomer = at_the_same_place(9)
    registers(bench, peer(2), b"first")
    registers(bench, newcomer, b"second")
    bench.hears(newcomer, Leave(newcomer, ticket_of(newcomer), 0))
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    bench.wait(5.0)
    assert len(begun_at(bench)) == 1 and bench.state_of(peer(2)) is PeerState.ALIVE and bench.open == {}


def test_a_full_line_refuses_the_next_and_says_so() -> None:
    bench = SeedBench(knobs=config(dials_queued_max=30))
    for number in range(2, 33):
        register(bench, peer(number))
    assert [refusal.why for refusal in bench.told(peer(32), NotListed)] == [Why.BUSY]
    assert bench.count("dropped.dial_queue_full") == bench.count("registrations.busy") == 1
    register(bench, peer(5))
    assert bench.told(peer(5), NotListed) == [], "who is in line already stays in it"


def test_registrations_that_are_over_take_no_room() -> None:
    bench = SeedBench(knobs=config(dials_queued_max=3, dials_per_s=1000))
    for number in range(2, 12):
        bench.enlist(peer(number))
    for number in range(12, 22):
        register(bench, peer(number))
        for _ in range(3):
            wait_for_next_attempt(bench, peer(number))
            fail(bench, peer(number), "router refuses")
    assert bench.count("registrations.busy") == 0 and bench.count("registrations.unreachable") == 10


@pytest.mark.parametrize("how", ["leaves", "moves"])
def test_who_comes_and_goes_at_wire_speed_takes_nobodys_turn(how: str) -> None:
    bench = SeedBench()
    for number in range(1000):
        port = 5000 + number % 2 if how == "moves" else 5000
        record = PeerRecord(peer(2).id, EPOCH, 0, "10.0.0.2", port, 6000)
        register(bench, record)
        if how == "leaves":
            bench.hears(record, Leave(record, ticket_of(record), 0))
            bench.forget()
    register(bench, peer(3))
    bench.wait(2.5)
    assert [endpoint for _, endpoint in bench.of(outbox.OPEN)].count(peer(3).endpoint) >= 1


# -- the end of a registration --------------------------------------------------------------------------------------------


def test_a_peer_that_leaves_before_it_is_listed_is_forgotten() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    bench.hears(peer(2), Leave(peer(2), ticket_of(peer(2)), 0))
    assert len(bench.told(peer(2), LeaveHeard)) == 1 and bench.open == {}
    bench.forget()
    bench.wait(60.0)
    assert begun_at(bench) == [] and bench.state_of(peer(2)) is None


def test_nobody_else_can_end_a_registration() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    bench.hears(peer(3), Leave(peer(2), b"a guess!", 0))
    bench.answers_visit(peer(2))
    knock(bench, peer(2), ACCEPTED)
    assert bench.state_of(peer(2)) is PeerState.ALIVE


def test_a_seed_that_was_away_gives_every_visit_its_whole_time_again() -> None:
    bench = SeedBench()
    register(bench, peer(2))
    knock(bench, peer(2), ACCEPTED)
    bench.sleep(ATTEMPT_S + 10.0)
    assert len(bench.keys_of(peer(2).endpoint)) == 1
    bench.answers_visit(peer(2))
    assert bench.state_of(peer(2)) is PeerState.ALIVE


# -- whatever happens -----------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["register", "move", "steal", "leave", "answer", "disconnect", "knock", "wait"]), st.integers(2, 7)),
    max_size=60,
)


@steady
@given(steps=steps)
def test_whatever_happens_everybody_is_decided_and_nothing_stays_behind(steps: list[tuple[str, int]]) -> None:
    bench = SeedBench(knobs=config(dials_per_s=5, dials_open_max=2, dials_client_max=2))
    line = bench.engine.dialback
    for step, number in steps:
        record = at_the_same_place(number) if number > 5 else peer(number)
        match step:
            case "register":
                bench.request(Register(record, ticket_of(record)), address=record.host, route=b"%d" % number)
            case "move":
                bench.hears(replace(record, port=5001), Register(replace(record, port=5001), ticket_of(record)))
            case "steal":
                bench.request(Register(record, b"guessed!"), address=record.host, route=b"thief")
            case "leave":
                bench.hears(record, Leave(record, ticket_of(record), 0))
            case "wait":
                bench.wait(0.3)
            case "knock":
                for key, _ in bench.knocks:
                    bench.knocked(key, ACCEPTED if number % 2 else REFUSED)
            case _:
                for key in list(bench.open):
                    target = bench.engine.visits.target_of(key)
                    if target is not None and step == "disconnect":
                        bench.disconnect(key)
                    elif target is not None and len(bench.keys_of(target.endpoint)) == 1:
                        bench.answers_visit(target)
        assert line.open_count <= 2 and len(bench.open) <= 2
    for _ in range(200):
        for key, _ in bench.knocks:
            bench.knocked(key, SILENT)
        bench.wait(0.1)
    assert (len(line), line.open_count, bench.open) == (0, 0, {})
    assert not (line._of_client or line._of_address or line._by_peer or line._by_endpoint or line._by_name or line._line)
    bench.forget()
    bench.hears(peer(50), Register(peer(50), ticket_of(peer(50))))
    assert len(bench.keys_of(peer(50).endpoint)) == 1, "the seed still dials"
