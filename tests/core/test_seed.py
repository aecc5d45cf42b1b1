"""The switchboard of a seed: what each message does to the list, and that nothing a remote sends gets further than that."""

from __future__ import annotations

import pytest

from tests.core.harness import ACCEPTED, CODEC, EPOCH, SeedBench, config, members, peer, receipt, spoiled, ticket_of
from tests.core.mesh import Mesh
from zmqgossip.core import outbox
from zmqgossip.core.codes import Body, Evidence, Why
from zmqgossip.core.config import DEFAULT, LAN, ProtocolConfig
from zmqgossip.core.errors import ConfigError
from zmqgossip.core.events import LeaveReceived, PeerListed, PeerNotListed, PeerRemoved, VersionRefused
from zmqgossip.core.messages import (
    Bye,
    Check,
    Checked,
    Hello,
    Leave,
    LeaveHeard,
    LinkUp,
    List,
    Listed,
    NotListed,
    Presence,
    Present,
    Probe,
    Register,
    Registered,
    Reply,
    Report,
    UnknownPeer,
    Verdict,
    Welcome,
    WrongCluster,
    WrongVersion,
)
from zmqgossip.core.seed import GONE_MAX
from zmqgossip.core.types import FIRST_ID, Endpoint, PeerRecord, PeerState
from zmqgossip.core.wire import EXCHANGE_BYTES_MAX, Codec

ALIVE, DEAD, LEFT = PeerState.ALIVE, PeerState.DEAD, PeerState.LEFT
DAY_MS = 86_400_000


# -- what comes in --------------------------------------------------------------------------------------------------------

UNEXPECTED_REQUESTS: list[Body] = [
    Registered(True, 1, []),
    Listed(0, False, []),
    Present(0, []),
    UnknownPeer(0, 0),
    Verdict(peer(2), DEAD),
    LeaveHeard(),
    Hello(peer(2), peer(3).id, b"12345678", ["plain"]),
    Welcome(peer(2), b"12345678", b"12345678", "plain"),
    Bye(b"12345678", ""),
    LinkUp(b"12345678"),
    Probe(1.0, 1, b"12345678", b"12345678"),
    Reply(1.0, 1, 1, b"12345678"),
    Check(b"12345678", b"12345678"),
    Checked(peer(2), b"12345678", True),
    WrongCluster(),
    WrongVersion(2, 0),
]


@pytest.mark.parametrize("body", UNEXPECTED_REQUESTS, ids=lambda body: type(body).__name__)
def test_a_request_that_is_not_for_seeds_is_counted_and_does_nothing(body: Body) -> None:
    bench = SeedBench()
    bench.hears(peer(2), body)
    assert bench.effects == [] and bench.count("refused.unexpected") == 1 and bench.engine.next_deadline is None


@pytest.mark.parametrize("body", [Reply(1.0, 1, 1, b"12345678"), Registered(True, 1, []), WrongCluster()])
def test_an_unexpected_answer_to_a_visit_is_counted_and_the_visit_goes_on(body: Body) -> None:
    bench = SeedBench()
    bench.hears(peer(2), Register(peer(2), ticket_of(peer(2))))
    key = bench.visit(peer(2))
    bench.connect(key)
    bench.reply(key, body)
    assert bench.count("refused.unexpected") == 1 and key in bench.open


def test_a_damaged_answer_to_a_visit_is_counted_and_the_visit_goes_on() -> None:
    bench = SeedBench()
    bench.hears(peer(2), Register(peer(2), ticket_of(peer(2))))
    key = bench.visit(peer(2))
    bench.connect(key)
    bench.call(bench.engine.on_reply, key, spoiled(CODEC.encode(Checked(peer(2), b"12345678", True))))
    assert bench.count("refused.check") == 1 and key in bench.open


def test_an_answer_to_a_visit_that_is_over_is_counted() -> None:
    bench = SeedBench()
    bench.reply(99, Checked(peer(2), b"12345678", True))
    assert bench.count("dropped.visit_over") == 1 and bench.effects == []


def test_a_damaged_frame_is_counted_by_its_reason_and_not_answered() -> None:
    bench = SeedBench()
    frame = CODEC.encode(Register(peer(2), ticket_of(peer(2))))
    for damaged in (spoiled(frame), b"", b"GET / HTTP/1.1\r\n\r\n" + bytes(40), bytes(EXCHANGE_BYTES_MAX + 1)):
        bench.call(bench.engine.on_request, b"route", damaged, "10.0.0.2")
    assert bench.effects == [] and bench.engine.counters.refused_count == 4
    assert set(bench.engine.counters.group("refused")) == {"check", "too_short", "magic", "too_long"}


def test_a_foreign_cluster_hears_only_that_it_is_foreign() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.forget()
    for body in (Register(peer(3), ticket_of(peer(3))), List(FIRST_ID, 10), Leave(peer(2), b"12345678", 0)):
        bench.call(bench.engine.on_request, b"route", Codec(1).encode(body), "10.0.0.3")
    assert bench.replies(WrongCluster) == [WrongCluster()] * 3 and len(bench.effects) == 3
    assert bench.count("refused.cluster") == 3 and bench.state_of(peer(2)) is ALIVE


def test_a_newer_major_version_is_answered_in_ones_own_and_told_once() -> None:
    bench = SeedBench()
    frame = CODEC.encode(Register(peer(2), ticket_of(peer(2))))
    for _ in range(3):
        bench.call(bench.engine.on_request, b"route", frame[:2] + b"\x02\x07" + frame[4:], "10.0.0.2")
    assert bench.replies(WrongVersion) == [WrongVersion(1, 0)] * 3
    assert bench.events(VersionRefused) == [VersionRefused("10.0.0.2", "2.7", "1.0")] and bench.count("refused.version") == 3


def test_answers_carry_the_number_of_the_question_and_go_to_its_route() -> None:
    bench = SeedBench()
    bench.call(bench.engine.on_request, b"route 5", CODEC.encode(List(FIRST_ID, 10), 4711), "10.0.0.2")
    ((route, frame),) = bench.of(outbox.REPLY)
    assert route == b"route 5" and CODEC.decode(frame) == (Listed(0, False, []), 4711)


def test_the_end_of_a_visit_nobody_knows_means_nothing() -> None:
    bench = SeedBench()
    bench.call(bench.engine.on_connected, 7)
    bench.disconnect(7)
    bench.knocked(7, ACCEPTED)
    assert bench.effects == []


# -- registering ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead_ms", "taken"), [(DAY_MS - 1000, True), (DAY_MS + 1000, False)])
def test_a_start_more_than_a_day_ahead_is_refused(ahead_ms: int, taken: bool) -> None:
    bench = SeedBench()
    record = peer(2, epoch=EPOCH + ahead_ms)
    bench.hears(record, Register(record, ticket_of(record)))
    assert [refusal.why for refusal in bench.told(record, NotListed)] == ([] if taken else [Why.EPOCH])
    assert bool(bench.open) == taken


def test_a_refusal_is_told_to_the_user_and_counted() -> None:
    bench = SeedBench()
    bench.request(Register(peer(2), ticket_of(peer(2))), address="10.0.0.66")
    ((event,),) = [bench.events(PeerNotListed)]
    assert (event.peer, event.why) == (peer(2), Why.ADDRESS) and bench.count("registrations.address") == 1


def test_a_listed_peer_that_registers_again_is_listed_still_and_not_dialled_again() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.forget()
    bench.hears(peer(2), Register(peer(2, ready=True), ticket_of(peer(2, ready=True))))
    (answer,) = bench.told(peer(2), Registered)
    assert answer.listed and bench.of(outbox.OPEN) == [] and bench.events(PeerListed) == []
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None and entry.record.ready


def test_a_listed_id_at_another_address_is_refused() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.forget()
    thief = PeerRecord(peer(2).id, EPOCH, 1, "10.0.0.2", 5001, 6000)
    bench.hears(thief, Register(thief, ticket_of(thief)))
    assert [refusal.why for refusal in bench.told(thief, NotListed)] == [Why.ADDRESS] and bench.of(outbox.OPEN) == []


def test_a_process_that_starts_anew_at_the_same_address_replaces_the_old_one() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    newcomer = PeerRecord(peer(9).id, EPOCH + 5, 0, "10.0.0.2", 5000, 6000)
    bench.enlist(newcomer)
    assert bench.state_of(peer(2)) is DEAD and bench.state_of(newcomer) is ALIVE and len(bench.engine.registry) == 1
    assert [(event.peer, event.why) for event in bench.events(PeerRemoved)] == [(peer(2), "somebody else lives at its address")]


def test_a_newer_life_of_a_listed_id_replaces_the_old_one() -> None:
    bench = SeedBench()
    (ticket,) = bench.enlist(peer(2))
    newer = peer(2, epoch=EPOCH + 5)
    bench.enlist(newer)
    assert len(bench.engine.registry) == 1 and bench.state_of(newer) is ALIVE
    bench.forget()
    bench.hears(peer(2), Presence(peer(2), ticket, 1))
    assert len(bench.told(peer(2), UnknownPeer)) == 1, "the old life is worth nothing"


def test_an_older_life_does_not_replace_a_newer_one() -> None:
    bench = SeedBench()
    bench.enlist(peer(2, epoch=EPOCH + 5))
    bench.hears(peer(2), Register(peer(2), ticket_of(peer(2))))
    assert [answer.why for answer in bench.told(peer(2), NotListed)] == [Why.EPOCH]


def test_a_list_that_is_full_takes_nobody_in() -> None:
    bench = SeedBench(knobs=config(members_max=10))
    bench.enlist(*[peer(number) for number in range(2, 12)])
    bench.hears(peer(20), Register(peer(20), ticket_of(peer(20))))
    assert [answer.why for answer in bench.told(peer(20), NotListed)] == [Why.BUSY]


def test_registering_a_listed_peer_in_its_name_changes_nothing_about_it() -> None:
    bench = SeedBench()
    (ticket,) = bench.enlist(peer(2))
    bench.hears(peer(2), Register(peer(2, revision=900), b"guessed!"))
    bench.hears(peer(2), Leave(peer(2), b"guessed!", 0))
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None and entry.record.revision == 0 and entry.ticket == ticket


@pytest.mark.parametrize(("record", "dialled"), [(peer(2), False), (peer(2, revision=1), True), (peer(2, epoch=EPOCH + 1), True)])
def test_a_tombstone_must_be_exceeded(record: PeerRecord, dialled: bool) -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.wait(DEFAULT.lease_s)
    bench.forget()
    bench.hears(record, Register(record, ticket_of(record)))
    assert bench.told(record, UnknownPeer) == ([] if dialled else [UnknownPeer(EPOCH, 0)])
    assert bool(bench.of(outbox.OPEN)) == dialled


def test_the_sample_names_others_and_the_total_counts_all() -> None:
    bench = SeedBench(knobs=config(sample_max=3))
    bench.enlist(*[peer(number) for number in range(2, 12)])
    bench.hears(peer(20), Register(peer(20), ticket_of(peer(20))))
    (answer,) = bench.told(peer(20), Registered)
    assert len(answer.sample) == 3 and answer.total == 10


# -- presence and leave ---------------------------------------------------------------------------------------------------


def test_a_presence_update_of_somebody_unknown_is_answered_so() -> None:
    bench = SeedBench()
    bench.hears(peer(2), Presence(peer(2), b"12345678", 1))
    assert bench.told(peer(2), UnknownPeer) == [UnknownPeer(0, 0)] and len(bench.engine.registry) == 0


def test_a_presence_update_with_a_wrong_ticket_changes_nothing() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.hears(peer(2), Presence(peer(2, ready=True), b"a guess!", 1))
    entry = bench.engine.registry.get(peer(2).id)
    assert entry is not None and not entry.record.ready and bench.told(peer(2), Present) == []


def test_a_leave_takes_the_peer_off_at_once() -> None:
    bench = SeedBench()
    (ticket, _) = bench.enlist(peer(2), peer(3))
    bench.hears(peer(2), Leave(peer(2), ticket, 12))
    assert bench.state_of(peer(2)) is LEFT and len(bench.told(peer(2), LeaveHeard)) == 1
    assert bench.events(LeaveReceived) == [LeaveReceived(peer(2), 1)] and bench.events(PeerRemoved) == []


def test_a_leave_with_a_wrong_ticket_is_counted_and_does_nothing() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.hears(peer(3), Leave(peer(2), b"a guess!", 0))
    assert bench.state_of(peer(2)) is ALIVE and bench.count("refused.ticket") == 1 and bench.events(LeaveReceived) == []


def test_a_leave_of_somebody_unknown_is_heard_all_the_same() -> None:
    bench = SeedBench()
    bench.hears(peer(2), Leave(peer(2), bytes(8), 0))
    assert len(bench.told(peer(2), LeaveHeard)) == 1 and bench.state_of(peer(2)) is None


def test_a_presence_answer_names_whom_the_seed_took_off_since_the_last_one() -> None:
    bench = SeedBench()
    tickets = dict(zip(range(2, 6), bench.enlist(*[peer(number) for number in range(2, 6)]), strict=True))

    def gone() -> set[tuple[PeerRecord, PeerState]]:
        bench.forget()
        bench.hears(peer(2), Presence(peer(2), tickets[2], 1))
        (present,) = bench.told(peer(2), Present)
        return {(member.record, member.state) for member in present.sample if member.state in (DEAD, LEFT)}

    bench.wait(13.0)
    assert gone() == set()
    bench.hears(peer(3), Leave(peer(3), tickets[3], 0))
    bench.wait(13.0)
    assert gone() == {(peer(3), LEFT)}
    bench.wait(6.0)
    assert gone() == {(peer(3), LEFT)}, "said twice: an answer may be lost"
    bench.wait(6.0)
    assert gone() == set()
    bench.hears(peer(5), Presence(peer(5), tickets[5], 1))
    bench.wait(14.0)
    assert gone() == {(peer(4), DEAD)}, "its lease was over"


def test_of_many_that_are_gone_at_once_each_is_named_in_some_answer() -> None:
    bench = SeedBench(knobs=config(dials_per_s=1000))
    (ticket, *_) = bench.enlist(*[peer(number) for number in range(2, 2 * GONE_MAX + 20)])
    bench.wait(DEFAULT.lease_s - 1.0)
    bench.hears(peer(2), Presence(peer(2), ticket, 1))
    bench.wait(1.0)
    named: dict[PeerRecord, None] = {}
    for answers in range(1, 4):
        bench.forget()
        bench.hears(peer(2), Presence(peer(2), ticket, 1))
        (present,) = bench.told(peer(2), Present)
        assert {member.state for member in present.sample} == {DEAD} and GONE_MAX <= len(present.sample) <= 2 * GONE_MAX
        named |= dict.fromkeys(member.record for member in present.sample)
        assert len(named) == min(answers * GONE_MAX, 2 * GONE_MAX + 17)


# -- limits ---------------------------------------------------------------------------------------------------------------

LONG_HOST = "fd00:1111:2222:3333:4444:5555:6666:7777"


def longest(number: int) -> PeerRecord:
    return PeerRecord(number.to_bytes(16, "big"), 2**63, 2**32 - 1, LONG_HOST, 65535, 65535, True)


def highest(knob: str) -> int:
    """The largest value that a knob may have."""
    return int(ProtocolConfig.__dataclass_fields__[knob].metadata["high"])


@pytest.mark.parametrize("body", [Listed, Present])
def test_the_longest_answer_that_the_settings_allow_fits_a_frame(body: type[Body]) -> None:
    if body is Listed:
        answer: Body = Listed(2**63, True, members([longest(number) for number in range(highest("page_max"))]))
    else:  # a sample, and those that were taken off lately
        answer = Present(2**63, members([longest(number) for number in range(highest("sample_max") + GONE_MAX)]))
    frame = CODEC.encode(answer)
    assert len(frame) <= EXCHANGE_BYTES_MAX


@pytest.mark.parametrize("knob", ["page_max", "sample_max"])
def test_more_than_that_cannot_be_set(knob: str) -> None:
    with pytest.raises(ConfigError):
        config(**{knob: highest(knob) + 1})


# -- together -------------------------------------------------------------------------------------------------------------


def test_a_restarted_seed_is_complete_again_within_one_interval() -> None:
    mesh = Mesh()
    seeds = [mesh.seed(number, knobs=LAN) for number in (1, 2)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 9)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    assert [len(seed.engine.registry) for seed in seeds] == [8, 8]
    mesh.crash(seeds[0])
    mesh.run(0.1)
    again = mesh.seed(1, knobs=LAN)
    mesh.run(LAN.presence_interval_s + 0.5)
    assert len(again.engine.registry) == 8


def test_four_seeds_list_the_living_and_no_dead_after_a_crash() -> None:
    mesh = Mesh()
    seeds = [mesh.seed(number, knobs=LAN) for number in range(1, 5)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 12)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    for place in peers[:3]:
        mesh.crash(place)
    for seed in seeds[:2]:
        mesh.crash(seed)
    mesh.run(10.0)
    listed = {
        Endpoint(entry.record.host, entry.record.port)
        for seed in seeds[2:]
        for entry in [seed.engine.registry.get(place.engine.me.id) for place in peers]
        if entry is not None
    }
    assert listed == {place.endpoint for place in peers[3:]}


def test_a_hung_peer_is_removed_and_back_within_two_intervals_of_waking_everywhere() -> None:
    mesh = Mesh()
    seeds = [mesh.seed(number, knobs=LAN) for number in (1, 2, 3)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 9)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    hung = peers[0]
    mesh.hang(hung)
    mesh.run(12.0)
    assert all(seed.engine.registry.get(hung.engine.me.id) is None for seed in seeds)
    assert not any(place.engine.members.is_living(hung.engine.me.id) for place in peers[1:])
    mesh.resume(hung)
    mesh.run(2 * LAN.presence_interval_s)
    assert sum(seed.engine.registry.get(hung.engine.me.id) is not None for seed in seeds) >= 2
    assert [place.engine.members.is_living(hung.engine.me.id) for place in peers[1:]] == [True] * 7
    assert hung.engine.view.up_count >= 4


def test_a_seed_alone_has_nothing_to_wait_for() -> None:
    bench = SeedBench()
    bench.call(bench.engine.start)
    assert bench.engine.next_deadline is None and bench.effects == []


def test_a_reporter_that_is_not_listed_is_named_by_its_address() -> None:
    bench = SeedBench()
    bench.enlist(peer(2))
    bench.hears(peer(50), Report(peer(50).id, peer(2), Evidence.MISSES, 3, 31.0, receipt(peer(2), peer(50))))
    assert bench.count("reports.received") == 1 and len(bench.told(peer(50), Verdict)) == 1
