"""Neighbours that a peer called dead: what it holds of them until the seeds have looked, and what ends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.harness import EPOCH, START, Far, PeerBench, SeedBench, config, neighbour, notice_segment, peer
from zmqgossip.core.accusations import GONE_WAIT_S
from zmqgossip.core.codes import Evidence
from zmqgossip.core.config import KNOCK_DELAYS_S, LAN
from zmqgossip.core.deaths import GAP_S, GATHER_S
from zmqgossip.core.events import NeighbourReported, PeerDead, PeerJoined, PeerLeft, PeerSuspected, ProbeMissed, VerdictHeard
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Reply, Report, Verdict
from zmqgossip.core.types import PeerRecord, PeerState

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT
WAITS = 2 * config().verify_window_s
"""How long a verdict is waited for."""


def answer_probes(bench: PeerBench, *lively: Far) -> None:
    for far in lively:
        link = bench.engine.view.by_peer(far.record.id)
        if link is not None and link.probe:
            far.reply(Reply(1.0, 1, 1, link.probe))


def accused(*, revision: int = 0) -> tuple[PeerBench, int, Far]:
    """Neighbour 2 has just missed three probes; neighbour 3 answers. The bench, its seed's key, and neighbour 3."""
    bench = PeerBench()
    seed = bench.join()
    bench.attended = True
    silent, lively = neighbour(bench, 2), neighbour(bench, 3)
    if revision:
        silent.gossip(notice_segment(peer(2), 1, Notice(peer(2, revision=revision), ALIVE)))
    bench.forget()
    while not bench.events(NeighbourReported):
        bench.wait(0.25)
        answer_probes(bench, lively)
        assert bench.now < START + 60.0
    return bench, seed, lively


def wait(bench: PeerBench, lively: Far, seconds: float) -> None:
    until = bench.now + seconds
    while bench.now < until:
        bench.wait(0.25)
        answer_probes(bench, lively)


def deaths(bench: PeerBench) -> list[PeerRecord]:
    """Whom it told its neighbours to be dead, a moment later."""
    bench.wait(GAP_S)
    return bench.deaths


def test_who_misses_three_times_is_suspect_and_reported_with_the_evidence() -> None:
    bench, seed, _ = accused()
    ((key, report),) = bench.sent(Report)
    assert key == seed
    assert (report.reporter, report.target, report.evidence, report.misses) == (bench.engine.me.id, peer(2), Evidence.MISSES, 3)
    assert report.age_s == pytest.approx(bench.now - START, abs=0.5)
    assert bench.state_of(peer(2)) is SUSPECT and bench.events(PeerSuspected) == [PeerSuspected(peer(2))]
    assert deaths(bench) == []


def test_a_verdict_of_death_is_taken_and_told_to_everybody() -> None:
    bench, seed, lively = accused()
    bench.reply(seed, Verdict(peer(2), DEAD))
    assert bench.state_of(peer(2)) is DEAD and bench.events(PeerDead) == [PeerDead(peer(2))]
    assert deaths(bench) == [peer(2)]
    assert [(heard.peer, heard.state) for heard in bench.events(VerdictHeard)] == [(peer(2), DEAD)]
    wait(bench, lively, 2 * WAITS)
    assert len(deaths(bench)) == 1, "said once"


def test_what_everybody_is_told_is_ones_own_record_of_the_dead_and_not_what_a_seed_wrote() -> None:
    bench, seed, _ = accused()
    bench.reply(seed, Verdict(peer(2, revision=900), DEAD))
    assert deaths(bench) == [peer(2)] and bench.state_of(peer(2)) is DEAD


def test_a_verdict_of_life_clears_the_suspect_for_good() -> None:
    bench, seed, lively = accused()
    bench.reply(seed, Verdict(peer(2), ALIVE))
    assert bench.state_of(peer(2)) is ALIVE
    wait(bench, lively, 2 * WAITS)
    assert bench.state_of(peer(2)) is ALIVE and deaths(bench) == []


def test_a_seed_that_knows_of_a_leave_ends_it_without_a_word_to_others() -> None:
    bench, seed, lively = accused()
    bench.reply(seed, Verdict(peer(2), LEFT))
    wait(bench, lively, 2 * WAITS)
    assert bench.state_of(peer(2)) is LEFT and bench.events(PeerLeft) == [PeerLeft(peer(2))] and deaths(bench) == []


def test_a_seed_that_is_still_looking_changes_nothing_and_is_not_told() -> None:
    bench, seed, _ = accused()
    bench.reply(seed, Verdict(peer(2), SUSPECT))
    assert bench.state_of(peer(2)) is SUSPECT and bench.events(VerdictHeard) == []
    bench.reply(seed, Verdict(peer(2), DEAD))
    assert bench.state_of(peer(2)) is DEAD


def test_the_first_verdict_counts() -> None:
    bench, seed, _ = accused()
    bench.reply(seed, Verdict(peer(2), ALIVE))
    bench.reply(seed, Verdict(peer(2), DEAD))
    assert bench.state_of(peer(2)) is ALIVE and deaths(bench) == []


@pytest.mark.parametrize("other", [peer(4), peer(3)], ids=["a stranger", "a neighbour"])
def test_a_verdict_on_somebody_who_is_not_accused_changes_nothing(other: PeerRecord) -> None:
    bench, seed, _ = accused()
    before = bench.state_of(other)
    bench.reply(seed, Verdict(other, DEAD))
    assert bench.state_of(other) is before and deaths(bench) == [] and bench.state_of(peer(2)) is SUSPECT


def test_while_a_seed_is_looking_the_peers_own_word_waits_but_not_for_ever() -> None:
    bench, seed, lively = accused()
    looking = SeedBench()
    looking.enlist(peer(2))
    ((_, report),) = bench.sent(Report)
    looking.hears(bench.engine.me, report)
    bench.reply(seed, looking.told(bench.engine.me, Verdict)[0])
    wait(bench, lively, 2 * WAITS)
    assert bench.state_of(peer(2)) is SUSPECT and deaths(bench) == []
    wait(bench, lively, config().lease_s)
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


def test_whom_seeds_list_alive_again_is_not_called_dead_when_no_verdict_comes() -> None:
    bench, seed, lively = accused()
    bench.reply(seed, Verdict(peer(2), SUSPECT, looking=True))  # then it is held, and has spoken: of that there is no verdict
    wait(bench, lively, 20.0)
    bench.told(seed, peer(2))
    wait(bench, lively, 60.0)
    assert bench.state_of(peer(2)) is ALIVE and bench.events(PeerDead) == [] and deaths(bench) == []
    assert bench.count("accusations.cleared") == 1


def test_while_a_seed_is_looking_its_verdict_counts_whatever_another_lists() -> None:
    bench, seed, lively = accused()
    bench.reply(seed, Verdict(peer(2), SUSPECT, looking=True))
    bench.told(seed, peer(2))  # in its turn only: until then it is in samples still
    wait(bench, lively, WAITS + 1.0)
    bench.reply(seed, Verdict(peer(2), DEAD))
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


def test_a_seed_without_an_opinion_is_not_waited_for() -> None:
    seed = SeedBench()  # it lists nobody
    bench, key, lively = accused()
    ((_, report),) = bench.sent(Report)
    seed.hears(bench.engine.me, report)
    (no_opinion,) = seed.told(bench.engine.me, Verdict)
    bench.reply(key, no_opinion)
    wait(bench, lively, WAITS + 1.0)
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


def test_without_a_verdict_in_time_the_peers_own_word_stands() -> None:
    bench, _, lively = accused()
    wait(bench, lively, WAITS - 0.5)
    assert bench.state_of(peer(2)) is SUSPECT
    wait(bench, lively, 1.0)
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


def test_who_hears_nobody_calls_nobody_dead_by_its_own_word() -> None:
    bench = PeerBench()
    bench.join()
    bench.attended = True
    neighbour(bench, 2)
    bench.wait(120.0)
    assert bench.engine.view.up_count == 0 and bench.events(NeighbourReported)
    assert bench.state_of(peer(2)) is SUSPECT and bench.events(PeerDead) == []
    wait(bench, neighbour(bench, 3), WAITS + 1.0)
    assert bench.state_of(peer(2)) is DEAD, "when it hears somebody again its word counts again"


Sign = Callable[[PeerBench, Far], object]
SIGNS: dict[str, Sign] = {
    "its own gossip": lambda bench, lively: lively.gossip(notice_segment(peer(2), 1, Notice(peer(2), ALIVE))),
    "its own newer record": lambda bench, lively: lively.gossip(notice_segment(peer(2), 1, Notice(peer(2, revision=1), ALIVE))),
    "its hello": lambda bench, lively: Far(bench, peer(2), b"returns!").hello(),
    "its welcome": lambda bench, lively: Far(bench, peer(2)).comes_up(),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_an_accused_that_speaks_is_no_longer_accused(sign: str) -> None:
    bench, _, lively = accused()
    if sign == "its welcome":
        while bench.engine.view.by_peer(peer(2).id) is None:
            wait(bench, lively, 0.25)
    SIGNS[sign](bench, lively)
    assert bench.state_of(peer(2)) is ALIVE
    wait(bench, lively, 2 * WAITS)
    assert deaths(bench) == [] and bench.events(PeerDead) == []


def test_hearsay_that_the_accused_is_alive_does_not_clear_it() -> None:
    bench, _, lively = accused()
    lively.gossip(notice_segment(peer(3), 1, Notice(peer(2), ALIVE)))
    wait(bench, lively, WAITS + 1.0)
    assert bench.state_of(peer(2)) is DEAD


def test_an_accused_that_says_goodbye_has_left() -> None:
    bench, _, lively = accused()
    lively.gossip(notice_segment(peer(2), 1, Notice(peer(2), LEFT)))
    wait(bench, lively, 2 * WAITS)
    assert bench.state_of(peer(2)) is LEFT and deaths(bench) == []


# -- ports that refuse ----------------------------------------------------------------------------------------------------


def gone(*, others: bool = True) -> tuple[PeerBench, int]:
    """Neighbour 2 does not listen any more. The bench and its seed's key."""
    bench = PeerBench()
    seed = bench.join()
    far = neighbour(bench, 2)
    if others:
        neighbour(bench, 3)
    bench.forget()
    far.crashes()
    return bench, seed


def test_whose_ports_refuse_is_dead_for_everybody_as_soon_as_a_seed_has_looked() -> None:
    bench, seed = gone()
    ((to, report),) = bench.sent(Report)
    assert to == seed and report.evidence is Evidence.REFUSED
    assert bench.state_of(peer(2)) is SUSPECT and deaths(bench) == []
    bench.reply(seed, Verdict(peer(2), SUSPECT, looking=True))
    bench.reply(seed, Verdict(peer(2), DEAD))
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("looking", [True, False])
def test_whose_ports_refuse_is_dead_soon_if_no_seed_decides(looking: bool, others: bool) -> None:
    bench, seed = gone(others=others)
    bench.reply(seed, Verdict(peer(2), SUSPECT, looking=looking))
    bench.wait(GONE_WAIT_S - 0.01)
    assert bench.state_of(peer(2)) is SUSPECT
    bench.wait(0.02)
    assert bench.state_of(peer(2)) is DEAD and (deaths(bench) == [peer(2)] or not others)
    assert max(KNOCK_DELAYS_S) + GONE_WAIT_S + GATHER_S < 0.9, "all know within a second, whatever the seeds do"


def test_without_a_connection_to_a_seed_refused_connects_are_enough() -> None:
    bench = PeerBench()
    seed = bench.join()
    far = neighbour(bench, 2)
    neighbour(bench, 3)
    bench.disconnect(seed)
    bench.forget()
    far.crashes()
    assert bench.state_of(peer(2)) is DEAD and deaths(bench) == [peer(2)]


def test_who_has_told_a_seed_that_it_goes_and_could_not_tell_its_neighbour_is_not_found_dead() -> None:
    bench, seed = gone()
    bench.reply(seed, Verdict(peer(2), LEFT))
    bench.wait(WAITS)
    assert bench.state_of(peer(2)) is LEFT and bench.events(PeerLeft) == [PeerLeft(peer(2))]
    assert bench.events(PeerDead) == [] and deaths(bench) == []


def test_who_had_left_as_a_seed_says_too_late_has_left_and_is_not_told_dead() -> None:
    bench, seed = gone()
    bench.wait(GONE_WAIT_S + 0.01)
    assert bench.state_of(peer(2)) is DEAD
    bench.reply(seed, Verdict(peer(2), LEFT))
    assert bench.state_of(peer(2)) is LEFT and bench.events(PeerLeft) == [PeerLeft(peer(2))] and deaths(bench) == []


def test_who_was_away_waits_for_the_verdict_once_more() -> None:
    bench, seed = gone()
    bench.sleep(5.0)
    assert bench.count("loop.late") == 1 and bench.state_of(peer(2)) is SUSPECT
    bench.reply(seed, Verdict(peer(2), LEFT))
    assert bench.state_of(peer(2)) is LEFT and bench.events(PeerDead) == []


def test_whose_word_that_it_goes_comes_after_its_ports_have_closed_is_not_found_dead() -> None:
    bench, _ = gone()
    neighbour(bench, 4).gossip(notice_segment(peer(2), 1, Notice(peer(2), LEFT)))
    bench.wait(WAITS)
    assert bench.state_of(peer(2)) is LEFT and bench.events(PeerDead) == [] and deaths(bench) == []


def test_who_is_known_to_have_left_is_called_dead_to_nobody_when_a_link_with_it_fails() -> None:
    bench = PeerBench()
    bench.join()
    far = neighbour(bench, 2)
    neighbour(bench, 3)
    bench.forget()
    bench.call(lambda now: bench.engine.membership.learn(peer(2), LEFT, now))
    far.crashes()
    assert bench.sent(Report) == [] and bench.events(PeerDead) == [] and deaths(bench) == []


# -- who is reported ------------------------------------------------------------------------------------------------------


def test_a_neighbour_that_had_raised_its_revision_is_reported_with_the_new_one() -> None:
    bench, seed, _ = accused(revision=4)
    ((_, report),) = bench.sent(Report)
    assert report.target.order == (EPOCH, 4) and bench.state_of(peer(2)) is SUSPECT
    bench.reply(seed, Verdict(report.target, DEAD))
    assert bench.state_of(peer(2)) is DEAD and [record.revision for record in deaths(bench)] == [4]


def test_a_neighbour_whose_newer_record_came_from_a_seed_is_reported_with_it() -> None:
    bench = PeerBench()
    seed = bench.join()
    bench.attended = True
    neighbour(bench, 2)
    bench.told(seed, peer(2, revision=4))
    while not bench.sent(Report):
        bench.wait(0.5)
        assert bench.now < START + 60.0
    assert [report.target.revision for _, report in bench.sent(Report)] == [4]
    assert bench.state_of(peer(2)) is SUSPECT


def test_somebody_accused_twice_is_cleared_by_one_verdict() -> None:
    bench = PeerBench(knobs=LAN)
    seed = bench.join()
    bench.attended = True
    lively = neighbour(bench, 3)
    for _ in range(2):
        before = len(bench.sent(Report))
        Far(bench, peer(2), b"nonce %02d" % before).hello()
        Far(bench, peer(2), b"nonce %02d" % before).comes_up()
        for _ in range(400):
            bench.wait(0.05)
            answer_probes(bench, lively)
            if len(bench.sent(Report)) > before:
                break
    assert len(bench.sent(Report)) == 2
    bench.reply(seed, Verdict(peer(2), ALIVE))
    for _ in range(200):
        bench.wait(0.05)
        answer_probes(bench, lively)
    assert bench.state_of(peer(2)) is ALIVE and deaths(bench) == []


def test_the_user_is_told_every_step_in_order() -> None:
    bench, seed, _ = accused()
    bench.reply(seed, Verdict(peer(2), DEAD))
    steps = (ProbeMissed, PeerSuspected, NeighbourReported, PeerDead, VerdictHeard, PeerJoined)
    told = [type(event) for _, (kind, *rest) in bench.effects for event in rest if isinstance(event, steps)]
    assert told == [ProbeMissed, ProbeMissed, ProbeMissed, PeerSuspected, NeighbourReported, PeerDead, VerdictHeard]
