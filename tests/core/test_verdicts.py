"""A seed judges dead reports by looking for itself: each row of the table, and who is told what."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.core.harness import ACCEPTED, EPOCH, REFUSED, SILENT, START, SeedBench, config, peer, receipt, ticket_of
from zmqgossip.core import outbox
from zmqgossip.core.codes import Evidence
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.events import DeadReportReceived, PeerCleared, PeerHeld, PeerRemoved, PeerSuspected
from zmqgossip.core.messages import Leave, List, Listed, Presence, Present, Register, Registered, Report, UnknownPeer, Verdict
from zmqgossip.core.types import FIRST_ID, PeerRecord, PeerState
from zmqgossip.core.verdicts import REPORTERS_MAX

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT
MISSES = Evidence.MISSES
WINDOW = DEFAULT.verify_window_s
ACCUSED, REPORTER = peer(2), peer(3)
MANY = [peer(number) for number in range(2, 22)]


def seed_with(*records: PeerRecord, **knobs: float) -> tuple[SeedBench, dict[PeerRecord, bytes]]:
    """A seed that lists them, and their tickets."""
    bench = SeedBench(knobs=config(**knobs))
    tickets = dict(zip(records, bench.enlist(*records), strict=True))
    bench.forget()
    return bench, tickets


def report(
    bench: SeedBench, target: PeerRecord = ACCUSED, *, by: PeerRecord = REPORTER, evidence: Evidence = MISSES, misses: int = 3
) -> None:
    bench.hears(by, Report(by.id, target, evidence, misses, 31.0, receipt(target, by)))


def verdicts(bench: SeedBench, reporter: PeerRecord = REPORTER) -> list[PeerState]:
    """What a reporter was told."""
    return [verdict.state for verdict in bench.told(reporter, Verdict)]


def knock(bench: SeedBench, *results: object, target: PeerRecord = ACCUSED) -> None:
    """The seed's last knock at both ports of the accused meets this."""
    ports = (target.endpoint, target.publish_endpoint)
    key = next(key for key, endpoints in reversed(bench.knocks) if endpoints == ports)
    bench.knocked(key, *results)  # type: ignore[arg-type]


def removed(bench: SeedBench) -> list[tuple[PeerRecord, str]]:
    return [(event.peer, event.why) for event in bench.events(PeerRemoved)]


def wait_and_answer(bench: SeedBench, answers: list[bool], target: PeerRecord = ACCUSED) -> None:
    """The whole window passes; visit number n is answered at once if `answers[n]` says so."""
    for answer in answers:
        if answer:
            bench.answers_visit(target)
        bench.wait(WINDOW / 3)


# -- the first report -----------------------------------------------------------------------------------------------------


def test_a_reported_peer_is_suspect_still_listed_and_not_handed_out() -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER, peer(4))
    report(bench)
    assert bench.events(PeerSuspected) == [PeerSuspected(ACCUSED)] and verdicts(bench) == [SUSPECT]
    bench.hears(peer(9), List(FIRST_ID, 10))
    assert [member.state for member in bench.told(peer(9), Listed)[0].members] == [SUSPECT, ALIVE, ALIVE]
    bench.hears(REPORTER, Presence(REPORTER, tickets[REPORTER], 1))
    (present,) = bench.told(REPORTER, Present)
    assert [member.record for member in present.sample] == [peer(4)] and present.total == 3


def test_the_user_is_told_of_the_report_and_where_it_came_from() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    assert bench.events(DeadReportReceived) == [DeadReportReceived(ACCUSED, "10.0.0.3:5000", MISSES, 3)]
    report(bench, by=peer(50))
    assert bench.events(DeadReportReceived)[1].reporter == "10.0.0.50"


def test_the_seed_visits_three_times_within_its_window_and_knocks_at_both_ports() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.wait(WINDOW)
    visits = [at for at, effect in bench.effects if effect[0] == outbox.OPEN]
    assert [at - START for at in visits] == pytest.approx([0, WINDOW / 3, 2 * WINDOW / 3])
    assert [endpoints for _, endpoints in bench.knocks] == [(ACCUSED.endpoint, ACCUSED.publish_endpoint)]
    assert bench.open == {}


def test_in_lan_the_window_is_a_second_and_a_half() -> None:
    bench = SeedBench(knobs=LAN)
    bench.enlist(ACCUSED, REPORTER)
    report(bench)
    bench.wait(1.499)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(0.001)
    assert bench.state_of(ACCUSED) is DEAD


# -- the rows -------------------------------------------------------------------------------------------------------------


def test_refused_here_and_at_the_reporter_is_removed_at_once() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench, evidence=Evidence.REFUSED, misses=0)
    assert bench.state_of(ACCUSED) is SUSPECT
    knock(bench, REFUSED, REFUSED)
    assert bench.state_of(ACCUSED) is DEAD and verdicts(bench) == [SUSPECT, DEAD]
    assert removed(bench) == [(ACCUSED, "connects are refused")] and bench.now == START


@pytest.mark.parametrize("results", [(ACCEPTED, ACCEPTED), (REFUSED, ACCEPTED), (ACCEPTED, REFUSED), (SILENT, REFUSED), (SILENT, SILENT)])
def test_refused_at_the_reporter_alone_is_not_enough(results: tuple[object, object]) -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench, evidence=Evidence.REFUSED)
    knock(bench, *results)
    assert bench.state_of(ACCUSED) is SUSPECT
    wait_and_answer(bench, [True, False, False])
    assert bench.state_of(ACCUSED) is ALIVE


def test_refused_here_alone_waits_for_the_window() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    knock(bench, REFUSED, REFUSED)
    bench.wait(WINDOW - 0.001)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(0.001)
    assert bench.state_of(ACCUSED) is DEAD


def test_a_second_reporter_that_was_refused_makes_the_seed_knock_again() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER, peer(4))
    report(bench)
    knock(bench, ACCEPTED, ACCEPTED)  # it hung, and was killed then
    bench.wait(1.0)
    report(bench, by=peer(4), evidence=Evidence.REFUSED)
    assert len(bench.knocks) == 2
    knock(bench, REFUSED, REFUSED)
    assert bench.state_of(ACCUSED) is DEAD and bench.now == START + 1.0
    assert verdicts(bench) == verdicts(bench, peer(4)) == [SUSPECT, DEAD]


def test_a_seed_that_was_refused_already_needs_no_second_knock_when_a_reporter_was_too() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER, peer(4))
    report(bench)
    knock(bench, REFUSED, REFUSED)
    assert bench.state_of(ACCUSED) is SUSPECT
    report(bench, by=peer(4), evidence=Evidence.REFUSED)
    assert bench.state_of(ACCUSED) is DEAD


@pytest.mark.parametrize("who", [peer(77), peer(2, epoch=EPOCH + 1)], ids=["another peer", "a newer life"])
def test_somebody_else_at_the_address_is_removal_at_once(who: PeerRecord) -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.answers_visit(ACCUSED, who=who)
    assert bench.state_of(ACCUSED) is DEAD and removed(bench) == [(ACCUSED, "somebody else lives at its address")]
    assert verdicts(bench) == [SUSPECT, DEAD] and bench.now == START


def test_no_answer_is_removal_when_the_window_is_over() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER, peer(4))
    report(bench)
    bench.wait(WINDOW - 0.001)
    assert bench.state_of(ACCUSED) is SUSPECT and verdicts(bench) == [SUSPECT]
    bench.wait(0.001)
    assert bench.state_of(ACCUSED) is DEAD and verdicts(bench) == [SUSPECT, DEAD]
    assert removed(bench) == [(ACCUSED, "no probe was answered")] and bench.events(PeerRemoved)[0].total == 2
    assert bench.count("verdicts.removed") == 1


ANSWERS = [
    [bool(pattern & 4), bool(pattern & 2), bool(pattern & 1)] for pattern in range(1, 8)
]  # until the rest comes, some are as good as all


@pytest.mark.parametrize("answers", ANSWERS)
def test_any_answer_clears_and_the_reporter_is_told(answers: list[bool]) -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    wait_and_answer(bench, answers)
    assert bench.state_of(ACCUSED) is ALIVE and verdicts(bench) == [SUSPECT, ALIVE] and removed(bench) == []
    assert bench.events(PeerCleared) == [PeerCleared(ACCUSED, sum(answers), 3)] and bench.count("verdicts.cleared") == 1
    bench.forget()
    bench.wait(2 * WINDOW)
    assert bench.of(outbox.OPEN) == [] and bench.replies(Verdict) == []


def test_a_visit_that_is_refused_at_the_router_is_no_answer() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    for _ in range(3):
        bench.disconnect(bench.visit(ACCUSED))
        bench.wait(WINDOW / 3)
    assert bench.state_of(ACCUSED) is DEAD


def test_an_accused_that_was_cleared_may_be_accused_again() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    wait_and_answer(bench, [True, True, True])
    report(bench)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(WINDOW)
    assert bench.state_of(ACCUSED) is DEAD


# -- several at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accused", "listed", "survive"), [(1, 20, False), (2, 20, False), (3, 20, True), (10, 20, True), (2, 2, True)])
def test_several_that_cannot_be_reached_at_once_are_held_and_fewer_removed(accused: int, listed: int, survive: bool) -> None:
    bench, _ = seed_with(*MANY[:listed])
    for record in MANY[:accused]:
        report(bench, record, by=MANY[-1])
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:accused]] == [SUSPECT if survive else DEAD] * accused
    assert len(bench.events(PeerHeld)) == bench.count("verdicts.held") == (accused if survive else 0)


def test_several_accused_one_after_another_are_several_too() -> None:
    bench, _ = seed_with(*MANY)
    for record in MANY[:3]:
        report(bench, record, by=MANY[-1])
        bench.wait(1.9)
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:3]] == [SUSPECT] * 3


def test_accusations_far_apart_are_not_several() -> None:
    bench, _ = seed_with(*MANY, presence_interval_s=3600)
    for record in MANY[:5]:
        report(bench, record, by=MANY[-1])
        bench.wait(DEFAULT.several_window_s + 1.0)
    assert [bench.state_of(record) for record in MANY[:5]] == [DEAD] * 5


def test_those_that_answer_do_not_count_as_several() -> None:
    bench, _ = seed_with(*MANY)
    for record in MANY[:4]:
        report(bench, record, by=MANY[-1])
    for record in MANY[1:4]:
        bench.answers_visit(record)
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:4]] == [DEAD, ALIVE, ALIVE, ALIVE]


def test_those_that_refuse_are_removed_however_many_they_are_and_hold_nobody() -> None:
    bench, _ = seed_with(*MANY)
    for record in MANY[:6]:
        report(bench, record, by=MANY[-1], evidence=Evidence.REFUSED)
    for record in MANY[1:6]:
        knock(bench, REFUSED, REFUSED, target=record)
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:6]] == [DEAD] * 6 and bench.events(PeerHeld) == []


def held() -> tuple[SeedBench, dict[PeerRecord, bytes]]:
    bench, tickets = seed_with(*MANY)
    for record in MANY[:3]:
        report(bench, record, by=MANY[-1])
    bench.wait(WINDOW)
    assert len(bench.events(PeerHeld)) == 3
    return bench, tickets


def test_the_held_go_when_their_lease_is_over() -> None:
    bench, _ = held()
    bench.wait(DEFAULT.lease_s - WINDOW - 0.001)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(0.001)
    assert bench.state_of(ACCUSED) is DEAD


def test_the_held_are_cleared_when_they_renew_their_presence() -> None:
    bench, tickets = held()
    bench.hears(ACCUSED, Presence(ACCUSED, tickets[ACCUSED], 1))
    assert bench.state_of(ACCUSED) is ALIVE


def test_the_held_may_be_reported_again_and_removed_when_they_are_alone() -> None:
    bench, _ = held()
    bench.wait(DEFAULT.several_window_s + 1.0)
    report(bench, by=MANY[-1])
    bench.wait(WINDOW)
    assert bench.state_of(ACCUSED) is DEAD and bench.state_of(MANY[1]) is SUSPECT


# -- who reports what -----------------------------------------------------------------------------------------------------


def test_every_reporter_is_told_the_verdict() -> None:
    bench, _ = seed_with(*MANY)
    reporters = MANY[1:6]
    for reporter in reporters:
        report(bench, by=reporter)
    bench.wait(WINDOW)
    assert [verdicts(bench, reporter) for reporter in reporters] == [[SUSPECT, DEAD]] * 5
    assert len(bench.events(PeerSuspected)) == 1


def test_one_client_does_not_take_the_places_of_all_others() -> None:
    bench, _ = seed_with(*MANY, cases_max=64, neighbours_max=6)
    for record in MANY[:10]:
        report(bench, record, by=MANY[-1])
    assert bench.count("dropped.too_many_cases") == 4, "nobody has more neighbours to report than that"
    report(bench, MANY[9], by=MANY[-2])
    assert bench.state_of(MANY[9]) is SUSPECT


def test_so_many_cases_and_no_more_are_open_at_once_and_others_wait_for_their_turn() -> None:
    bench, _ = seed_with(*MANY, cases_max=5)
    for record in MANY[:7]:
        report(bench, record, by=MANY[-1])
    assert [bench.state_of(record) for record in MANY[:7]] == [SUSPECT] * 5 + [ALIVE] * 2
    assert bench.count("dropped.too_many_cases") == 0 and len(bench.open) == 5
    for record in MANY[:5]:
        bench.answers_visit(record)
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:7]] == [ALIVE] * 5 + [SUSPECT] * 2 and len(bench.open) == 2
    for record in MANY[5:7]:
        bench.answers_visit(record)
    bench.wait(WINDOW)
    assert [bench.state_of(record) for record in MANY[:7]] == [ALIVE] * 7 and verdicts(bench, MANY[-1]) == [SUSPECT] * 7 + [ALIVE] * 7


def test_who_waits_for_its_turn_is_removed_by_what_its_reporters_said_meanwhile() -> None:
    bench, _ = seed_with(*MANY, cases_max=1)
    report(bench, MANY[0], by=MANY[-1])
    report(bench, MANY[1], by=MANY[-1])
    report(bench, MANY[1], by=MANY[-2], evidence=Evidence.REFUSED)
    assert len(bench.knocks) == 1, "it is not knocked at before its turn"
    bench.answers_visit(MANY[0])
    bench.wait(WINDOW)
    assert len(bench.knocks) == 2
    bench.knocked(bench.knocks[-1][0], REFUSED, REFUSED)
    assert bench.state_of(MANY[1]) is DEAD
    assert verdicts(bench, MANY[-1])[-1] is DEAD and verdicts(bench, MANY[-2]) == [SUSPECT, DEAD]


def test_who_speaks_while_it_waits_for_its_turn_is_not_looked_for_and_its_reporters_hear_that_it_lives() -> None:
    bench, _ = seed_with(*MANY, cases_max=1)
    report(bench, MANY[0], by=MANY[-1])
    report(bench, MANY[1], by=MANY[-2])
    bench.request(Presence(MANY[1], ticket_of(MANY[1]), 4), route=MANY[1].id)
    assert verdicts(bench, MANY[-2]) == [SUSPECT, ALIVE] and bench.count("verdicts.spared") == 1
    bench.answers_visit(MANY[0])
    bench.wait(WINDOW)
    assert bench.state_of(MANY[1]) is ALIVE and len(bench.open) == 0


def test_however_many_are_reported_most_are_handed_out_still() -> None:
    bench, _ = seed_with(*MANY, cases_max=2)
    for record in MANY[:5]:
        report(bench, record, by=MANY[-1])
    assert [bench.state_of(record) for record in MANY[:5]] == [SUSPECT] * 2 + [ALIVE] * 3


def test_who_leaves_while_it_waits_for_its_turn_is_not_visited() -> None:
    bench, _ = seed_with(*MANY, cases_max=1)
    for record in MANY[:3]:
        report(bench, record, by=MANY[-1])
    bench.request(Leave(MANY[1], ticket_of(MANY[1]), 0), route=b"goer")
    bench.answers_visit(MANY[0])
    bench.wait(WINDOW)
    assert bench.state_of(MANY[1]) is LEFT and bench.visit(MANY[2]) in bench.open


def test_so_many_reporters_and_no_more_are_told() -> None:
    bench, _ = seed_with(ACCUSED)
    reporters = [peer(number) for number in range(100, 100 + REPORTERS_MAX + 5)]
    for reporter in reporters:
        report(bench, by=reporter)
    bench.wait(WINDOW)
    assert sum(verdicts(bench, reporter) == [SUSPECT, DEAD] for reporter in reporters) == REPORTERS_MAX
    assert bench.count("dropped.too_many_reporters") == 5


def test_what_comes_after_the_verdict_means_nothing() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench, evidence=Evidence.REFUSED)
    visit = bench.visit(ACCUSED)
    bench.answers_visit(ACCUSED, who=peer(77))
    assert bench.state_of(ACCUSED) is DEAD
    bench.forget()
    for key in range(1, visit + 1):
        bench.knocked(key, REFUSED, REFUSED)
        bench.disconnect(key)
    assert bench.effects == []


def test_a_second_report_does_not_begin_the_case_anew() -> None:
    bench, _ = seed_with(*MANY)
    report(bench)
    bench.wait(WINDOW - 1.0)
    report(bench, by=peer(4))
    bench.wait(1.0)
    assert bench.state_of(ACCUSED) is DEAD


@pytest.mark.parametrize("gone", [DEAD, LEFT])
def test_a_report_of_somebody_gone_is_answered_with_what_became_of_it(gone: PeerState) -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER)
    if gone is LEFT:
        bench.hears(ACCUSED, Leave(ACCUSED, tickets[ACCUSED], 0))
    else:
        report(bench)
        bench.wait(WINDOW)
    bench.forget()
    report(bench)
    assert verdicts(bench) == [gone] and bench.open == {} and bench.count("reports.moot") == 1


def test_a_report_of_somebody_never_listed_gets_no_opinion() -> None:
    bench, _ = seed_with(REPORTER)
    report(bench)
    assert verdicts(bench) == [SUSPECT] and bench.open == {} and bench.count("reports.moot") == 1
    bench.wait(2 * WINDOW)
    assert verdicts(bench) == [SUSPECT]


def test_a_report_of_an_older_record_is_moot() -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER)
    bench.hears(ACCUSED, Presence(peer(2, revision=1), tickets[ACCUSED], 1))
    report(bench)
    assert bench.state_of(ACCUSED) is ALIVE and bench.open == {} and bench.count("reports.moot") == 1


# -- what happens meanwhile -----------------------------------------------------------------------------------------------


def test_an_accused_that_leaves_meanwhile_has_left_and_the_reporter_is_told() -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.hears(ACCUSED, Leave(ACCUSED, tickets[ACCUSED], 0))
    assert bench.state_of(ACCUSED) is LEFT and bench.open == {}
    bench.wait(2 * WINDOW)
    assert bench.state_of(ACCUSED) is LEFT and removed(bench) == []
    assert verdicts(bench) == [SUSPECT, LEFT]


def test_an_accused_whose_lease_ends_meanwhile_is_removed_once_and_the_reporter_is_told() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    bench.wait(DEFAULT.lease_s - 1.0)
    report(bench)
    bench.wait(2 * WINDOW)
    assert [record for record, _ in removed(bench)].count(ACCUSED) == 1 and bench.open == {}
    assert verdicts(bench) == [SUSPECT, DEAD]


def test_an_accused_that_renews_its_presence_meanwhile_is_still_looked_for() -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.hears(ACCUSED, Presence(ACCUSED, tickets[ACCUSED], 1))
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(WINDOW)
    assert bench.state_of(ACCUSED) is DEAD


@pytest.mark.parametrize("away_s", [7.0, 60.0])
def test_a_seed_that_was_away_judges_nobody_before_it_has_looked(away_s: float) -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.sleep(away_s)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(DEFAULT.dial_timeout_s / 2)
    for key in bench.keys_of(ACCUSED.endpoint)[:1]:
        bench.connect(key)
    assert bench.state_of(ACCUSED) is SUSPECT
    bench.wait(2 * WINDOW)
    assert bench.state_of(ACCUSED) is DEAD


def test_a_removed_peer_that_lives_comes_back_with_a_newer_record() -> None:
    bench, tickets = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.wait(WINDOW)
    bench.hears(ACCUSED, Presence(ACCUSED, tickets[ACCUSED], 1))
    bench.hears(ACCUSED, Register(ACCUSED, ticket_of(ACCUSED)))
    assert bench.told(ACCUSED, UnknownPeer) == [UnknownPeer(EPOCH, 0)] * 2 and bench.open == {}
    newer = peer(2, revision=1)
    bench.enlist(newer)
    assert bench.state_of(newer) is ALIVE and bench.told(newer, Registered)[-1].listed


# -- the bare rule --------------------------------------------------------------------------------------------------------


def test_without_verification_a_report_removes_at_once() -> None:
    bench = SeedBench(knobs=config(verify=False))
    bench.enlist(ACCUSED, REPORTER)
    bench.forget()
    report(bench)
    assert bench.state_of(ACCUSED) is DEAD and verdicts(bench) == [DEAD] and removed(bench) == [(ACCUSED, "reported dead")]
    assert bench.of(outbox.OPEN) == [] and bench.knocks == []


def test_without_verification_a_report_of_an_older_record_is_still_moot() -> None:
    bench = SeedBench(knobs=config(verify=False))
    (ticket, _) = bench.enlist(ACCUSED, REPORTER)
    bench.hears(ACCUSED, Presence(peer(2, revision=1), ticket, 1))
    report(bench)
    assert bench.state_of(ACCUSED) is ALIVE


# -- nothing is left behind -----------------------------------------------------------------------------------------------


def test_cases_leave_nothing_behind_however_they_end() -> None:
    bench, _ = seed_with(REPORTER, presence_interval_s=3600)
    waits = len(bench.engine.node.timers)
    for number in range(10, 310):
        accused = peer(number)
        (ticket,) = bench.enlist(accused)
        bench.wait(0.06)  # within the rate of dials
        report(bench, accused, evidence=Evidence.REFUSED)
        if number % 3 == 0:
            knock(bench, REFUSED, REFUSED, target=accused)
        elif number % 3 == 1:
            bench.hears(accused, Leave(accused, ticket, 0))
        else:
            bench.answers_visit(accused, who=peer(999))
        bench.forget()
    assert len(bench.engine.registry) == 1 and bench.open == {} and len(bench.engine.node.timers) <= waits + 1
    bench.wait(2 * WINDOW)
    assert len(bench.engine.node.timers) == waits and bench.engine.verdicts.unreachable_count(bench.now) == 0


def test_visits_to_one_accused_never_overlap() -> None:
    bench, _ = seed_with(ACCUSED, REPORTER)
    report(bench)
    bench.wait(WINDOW)
    story = [(at, effect[0]) for at, effect in bench.effects if effect[0] in (outbox.OPEN, outbox.CLOSE)]
    assert [kind for _, kind in story] == [outbox.OPEN, outbox.CLOSE] * 3
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(story))
