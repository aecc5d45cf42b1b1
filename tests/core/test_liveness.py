"""Are my neighbours alive? The base rule of three misses, and the quick way by knocking."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from msgspec.structs import replace

from tests.core.harness import (
    ACCEPTED,
    CODEC,
    EPOCH,
    REFUSED,
    SILENT,
    START,
    WALL,
    Far,
    PeerBench,
    config,
    neighbour,
    notice_segment,
    peer,
    segment,
    spoiled,
)
from tests.core.mesh import Mesh
from zmqgossip.core.codes import Evidence
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.deaths import GATHER_S
from zmqgossip.core.events import NeighbourDown, NeighbourReported, PeerDead, PeerSuspected, ProbeMissed, ProbeReceived, ReplyReceived
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Probe, Reply, UnknownLink, WrongCluster
from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import PeerState
from zmqgossip.core.wire import Codec, link_topic

BEAT = DEFAULT.liveness_interval_s
TIMEOUT = DEFAULT.reply_timeout_s


def linked(**knobs: float) -> tuple[PeerBench, Far]:
    """A peer with the one neighbour 2."""
    bench = PeerBench(knobs=config(**knobs))
    far = neighbour(bench, 2)
    bench.forget()
    return bench, far


def probe_to(bench: PeerBench, far: Far) -> Probe | None:
    """The last probe that went to that neighbour."""
    probes = [probe for key, probe in bench.sent(Probe) if key == far.key]
    return probes[-1] if probes else None


def answer(bench: PeerBench, far: Far) -> None:
    probe = probe_to(bench, far)
    assert probe is not None
    far.reply(Reply(probe.timestamp, probe.port, far.record.port, probe.probe))


def wait_for_misses(bench: PeerBench, misses: int) -> None:
    """Time passes until so many replies in a row are overdue."""
    for _ in range(100):
        if len(bench.events(ProbeMissed)) >= misses:
            return
        bench.wait(0.5)
    raise AssertionError("no misses")


# -- the beat -------------------------------------------------------------------------------------------------------------


def test_the_first_probe_falls_within_one_interval_and_then_every_13_seconds_exactly() -> None:
    bench, far = linked()
    for _ in range(1000):
        bench.wait(0.1)
        if (probe := probe_to(bench, far)) is not None and far.link.probe == probe.probe:
            answer(bench, far)
    first, *others = bench.sent_at(Probe)
    assert START <= first <= START + BEAT
    assert others == pytest.approx([first + BEAT * number for number in range(1, len(others) + 1)]) and len(others) >= 6


def test_the_beat_does_not_care_what_else_passes() -> None:
    bench, far = linked()
    for number in range(1, 400):
        bench.wait(0.1)
        far.gossip(segment(peer(9), number))
        far.asks(Probe(WALL, 5000, far.link.mine, b"whatever"))
    times = bench.sent_at(Probe)
    assert [later - at for at, later in pairwise(times)] == pytest.approx([BEAT] * (len(times) - 1))
    assert len(times) >= 3


def test_a_probe_that_went_late_does_not_shift_the_next() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    answer(bench, far)
    due = bench.sent_at(Probe)[0] + BEAT
    bench.sleep(due + 1.0 - bench.now)
    answer(bench, far)
    bench.wait(BEAT)
    assert bench.sent_at(Probe)[1:] == [due + 1.0, pytest.approx(due + BEAT)]


def test_a_beat_that_was_slept_through_is_not_made_up_for() -> None:
    bench, far = linked()
    bench.sleep(10 * BEAT)
    answer(bench, far)
    bench.wait(BEAT)
    assert bench.sent_at(Probe) == [START + 10 * BEAT, START + 11 * BEAT]


def test_links_do_not_beat_as_one() -> None:
    bench = PeerBench()
    for number in range(2, 8):
        neighbour(bench, number)
    bench.wait(BEAT)
    times = bench.sent_at(Probe)
    assert len(times) == 6 and len({round(at) for at in times}) >= 3


def test_a_probe_names_time_port_and_link_and_every_one_is_another() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    answer(bench, far)
    bench.wait(BEAT)
    (_, first), (_, second) = bench.sent(Probe)
    at = bench.sent_at(Probe)[0]
    assert (first.timestamp, first.port, first.link) == (pytest.approx(WALL + at - START), bench.engine.me.port, far.nonce)
    assert first.probe != second.probe


# -- answers --------------------------------------------------------------------------------------------------------------


def test_a_probe_is_answered_with_its_own_timestamp_and_both_ports() -> None:
    bench, far = linked()
    far.asks(Probe(123.5, 4321, far.link.mine, b"12345678"))
    roots = bench.engine.gossip.walks.roots
    assert bench.replies(Reply) == [Reply(123.5, 4321, bench.engine.me.port, b"12345678", *roots, links=1)]
    assert bench.events(ProbeReceived) == [ProbeReceived(far.record.endpoint, 123.5, 4321)]


def test_a_probe_on_an_unknown_link_is_told_so() -> None:
    bench, far = linked()
    far.asks(Probe(123.5, 4321, b"8 bytes.", b"12345678"))
    assert bench.replies(UnknownLink) == [UnknownLink(b"8 bytes.", bench.engine.me.id)] and bench.replies(Reply) == []
    assert bench.count("questions.unknown_link") == 1 and bench.events(ProbeReceived) == []


def test_the_reply_to_a_probe_is_told_once() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    probe = probe_to(bench, far)
    assert probe is not None
    answer(bench, far)
    answer(bench, far)
    assert bench.events(ReplyReceived) == [ReplyReceived(far.record.endpoint, probe.timestamp, probe.port, far.record.port)]
    assert bench.count("probes.stale_reply") == 1
    bench.wait(TIMEOUT)
    assert bench.events(ProbeMissed) == []


def test_a_reply_that_comes_too_late_is_a_sign_of_life_and_no_reply() -> None:
    bench, far = linked()
    wait_for_misses(bench, 1)
    answer(bench, far)
    assert bench.events(ReplyReceived) == [] and bench.count("probes.stale_reply") == 1 and far.link.misses == 0


def test_a_reply_to_another_probe_leaves_the_open_one_open() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    far.reply(Reply(1.0, 1, 1, b"another!"))
    assert bench.events(ReplyReceived) == [] and bench.count("probes.stale_reply") == 1
    answer(bench, far)
    assert len(bench.events(ReplyReceived)) == 1


def test_probes_and_misses_are_counted() -> None:
    bench, _ = linked()
    wait_for_misses(bench, 3)
    assert bench.count("probes.sent") == len(bench.sent(Probe)) == bench.count("probes.missed") == 3


# -- misses ---------------------------------------------------------------------------------------------------------------


def test_a_reply_is_missed_when_its_time_is_over_and_not_before() -> None:
    bench, _ = linked()
    bench.wait(BEAT)
    at = bench.sent_at(Probe)[0]
    bench.wait(at + TIMEOUT - 0.001 - bench.now)
    assert bench.events(ProbeMissed) == []
    bench.wait(0.001)
    assert bench.events(ProbeMissed) == [ProbeMissed(peer(2), 1, 3)]


def test_three_misses_in_a_row_and_the_neighbour_is_reported_and_dropped() -> None:
    bench, far = linked()
    key = far.key
    wait_for_misses(bench, 2)
    assert bench.events(NeighbourReported) == [] and bench.engine.view.by_key(key) is not None
    wait_for_misses(bench, 3)
    assert bench.events(NeighbourReported) == [NeighbourReported(peer(2), Evidence.MISSES, 3)]
    assert bench.events(NeighbourDown) == [NeighbourDown(peer(2), "3 misses")]
    assert bench.events(PeerSuspected) == [PeerSuspected(peer(2))] and bench.events(PeerDead) == []
    assert bench.engine.view.by_key(key) is None and key not in bench.open


def test_in_the_default_profile_three_misses_take_from_31_to_44_seconds() -> None:
    bench, _ = linked()
    wait_for_misses(bench, 3)
    assert 2 * BEAT + TIMEOUT <= bench.now - START <= 3 * BEAT + TIMEOUT + 0.5


SIGNS_OF_LIFE: dict[str, Callable[[PeerBench, Far], object]] = {
    "its reply": answer,
    "a reply to an older probe": lambda bench, far: far.reply(Reply(1.0, 1, 1, b"long ago")),
    "its probe": lambda bench, far: far.asks(Probe(1.0, 5000, far.link.mine, b"its own!")),
    "its hello": lambda bench, far: far.hello(),
    "gossip": lambda bench, far: far.gossip(segment(peer(9), 1)),
    "gossip known already": lambda bench, far: far.gossip(segment(bench.engine.me, 1)),
    "news of members": lambda bench, far: far.gossip(notice_segment(peer(9), 1, Notice(peer(9), PeerState.ALIVE))),
    "link up": lambda bench, far: far.link_up(),
}


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE)
def test_any_valid_frame_is_proof_of_life_and_resets_the_count(sign: str) -> None:
    bench, far = linked()
    wait_for_misses(bench, 2)
    SIGNS_OF_LIFE[sign](bench, far)
    assert far.link.misses == 0 and far.link.last_heard == bench.now
    bench.forget()
    wait_for_misses(bench, 3)
    assert [event.misses for event in bench.events(ProbeMissed)] == [1, 2, 3]


NO_SIGNS: dict[str, Callable[[PeerBench, Far], object]] = {
    "a damaged reply": lambda bench, far: bench.call(bench.engine.on_reply, far.key, spoiled(CODEC.encode(Reply(1.0, 1, 1, b"long ago")))),
    "damaged gossip": lambda bench, far: far.gossip(spoiled(segment(peer(9), 1))),
    "another cluster's reply": lambda bench, far: bench.call(
        bench.engine.on_reply, far.key, Codec(1).encode(Reply(1.0, 1, 1, b"long ago"))
    ),
    "another cluster's seed": lambda bench, far: bench.call(bench.engine.on_reply, far.key, Codec(1).encode(WrongCluster())),
    "a probe on another link": lambda bench, far: far.asks(Probe(1.0, 5000, b"8 bytes.", b"12345678")),
    "another's link topic": lambda bench, far: far.gossip(link_topic(peer(9).id, far.nonce) + b"?"),
}


@pytest.mark.parametrize("frame", NO_SIGNS)
def test_a_frame_that_is_refused_proves_nothing(frame: str) -> None:
    bench, far = linked()
    wait_for_misses(bench, 2)
    NO_SIGNS[frame](bench, far)
    assert far.link.misses == 2


def test_a_sign_of_life_while_a_reply_is_awaited_is_as_good_as_the_reply() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    at = bench.sent_at(Probe)[0]
    bench.wait(at + 1.0 - bench.now)
    far.gossip(segment(peer(9), 1))
    bench.wait(TIMEOUT)
    assert bench.events(ProbeMissed) == []


def test_one_silent_neighbour_says_nothing_about_another() -> None:
    bench, silent = linked()
    lively = neighbour(bench, 3)
    gone = silent.key
    for _ in range(500):
        bench.wait(0.1)
        if lively.link.probe:
            answer(bench, lively)
    assert bench.engine.view.by_key(gone) is None
    assert {event.peer for event in bench.events(ProbeMissed)} == {peer(2)} and lively.link.misses == 0


def test_a_dropped_link_leaves_no_probe_behind() -> None:
    bench, _ = linked()
    wait_for_misses(bench, 3)
    bench.forget()
    bench.wait(5 * BEAT)
    assert bench.sent(Probe) == [] and bench.events(ProbeMissed) == []


# -- the unconnected ------------------------------------------------------------------------------------------------------


def unconnected(*, answers: Knock = SILENT) -> tuple[PeerBench, Far]:
    """A neighbour whose connection has just dropped, one second before a probe was due; knocks say nothing."""
    bench, far = linked()
    bench.wait(BEAT)
    answer(bench, far)
    due = bench.sent_at(Probe)[-1] + BEAT
    bench.wait(due - 1.0 - bench.now)
    bench.disconnect(far.key)
    bench.wait(0)
    bench.knocked(far.key, answers, answers)
    bench.forget()
    return bench, far


def test_a_probe_due_while_unconnected_is_a_miss_but_not_within_one_reply_time_out_of_the_drop() -> None:
    bench, _ = unconnected()
    bench.wait(1.0 + TIMEOUT)  # the probe due after 1 s is not sent, and no miss
    assert bench.sent(Probe) == [] and bench.events(ProbeMissed) == []
    bench.wait(BEAT - TIMEOUT)
    assert [event.misses for event in bench.events(ProbeMissed)] == [1]


def test_three_probes_due_while_unconnected_are_a_death() -> None:
    bench, far = unconnected()
    bench.wait(1.0 + 2 * BEAT)
    assert bench.events(NeighbourReported) == [] and far.link.misses == 2
    bench.wait(BEAT)
    assert bench.events(NeighbourReported) == [NeighbourReported(peer(2), Evidence.MISSES, 3)]


def test_a_failed_attempt_to_connect_again_does_not_begin_the_grace_anew() -> None:
    bench, far = unconnected()
    for _ in range(80):
        bench.wait(0.5)
        if bench.engine.view.by_peer(peer(2).id) is not None:
            bench.disconnect(far.key)
    assert [event.evidence for event in bench.events(NeighbourReported)] == [Evidence.MISSES]


def test_a_link_that_is_not_connected_ends_with_the_next_probe_when_a_later_life_of_the_neighbour_is_known() -> None:
    bench, far = unconnected()
    key = far.key
    third = neighbour(bench, 3)
    later = replace(peer(2, epoch=EPOCH + 5000), ready=True)
    third.gossip(notice_segment(later, 1, Notice(later, PeerState.ALIVE, 1)))
    assert bench.state_of(later) is PeerState.ALIVE
    for number in range(1, 30):
        bench.gossip(key, segment(peer(9), number))  # whoever publishes at its address now
        bench.wait(0.5)
    assert bench.engine.view.by_key(key) is None
    assert [event.why for event in bench.events(NeighbourDown)] == ["its next life has begun"]
    assert bench.events(NeighbourReported) == [] and bench.state_of(later) is PeerState.ALIVE


def test_a_link_that_is_connected_is_probed_on_whatever_is_said_of_a_later_life_of_the_neighbour() -> None:
    bench, far = linked()
    third = neighbour(bench, 3)
    bench.forget()
    later = peer(2, epoch=EPOCH + 5000)
    third.gossip(notice_segment(later, 1, Notice(later, PeerState.ALIVE, 1)))
    for _ in range(30):
        bench.wait(0.5)
        if probe_to(bench, far) is not None:
            answer(bench, far)
    assert bench.engine.view.by_key(far.key) is far.link and bench.events(NeighbourDown) == []


def test_a_neighbour_that_is_connected_again_is_probed_again() -> None:
    bench, far = unconnected()
    bench.wait(0.9)
    far.connects()
    bench.wait(0.1)
    assert len(bench.sent(Probe)) == 1
    answer(bench, far)
    assert far.link.misses == 0


def test_a_dropped_connection_is_opened_again_soon() -> None:
    bench, far = linked()
    bench.disconnect(far.key)
    assert far.key not in bench.open
    bench.wait(2 * DEFAULT.reconnect_min_s)
    assert bench.open[far.key] == peer(2).endpoint


# -- who was away himself -------------------------------------------------------------------------------------------------


def test_a_late_turn_judges_nobody_and_gives_the_whole_time_out_again() -> None:
    bench, far = linked()
    bench.wait(BEAT)
    due = bench.sent_at(Probe)[0] + TIMEOUT
    bench.sleep(due + 2.6 - bench.now)
    assert bench.events(ProbeMissed) == [] and bench.count("loop.late") == 1
    bench.wait(TIMEOUT - 0.001)
    assert bench.events(ProbeMissed) == []
    bench.wait(0.001)
    assert [event.misses for event in bench.events(ProbeMissed)] == [1]
    assert far.link.misses == 1


def test_a_turn_that_is_a_little_late_judges_as_usual() -> None:
    bench, _ = linked()
    bench.wait(BEAT)
    due = bench.sent_at(Probe)[0] + TIMEOUT
    bench.sleep(due + DEFAULT.late_s - 0.01 - bench.now)
    assert len(bench.events(ProbeMissed)) == 1 and bench.count("loop.late") == 0


def test_a_late_turn_judges_the_unconnected_neither() -> None:
    bench, far = unconnected()
    bench.wait(1.0 + 2 * BEAT)
    assert far.link.misses == 2
    bench.sleep(BEAT + 5.0)
    assert bench.events(NeighbourReported) == [], "the one that was away is this node"


# -- a crash --------------------------------------------------------------------------------------------------------------


def test_a_dropped_connection_is_knocked_at_both_ports_three_times_within_150_ms() -> None:
    bench, far = linked()
    bench.disconnect(far.key)
    key = far.key
    bench.wait(1.0)
    knocks = [(at - START, effect[1:]) for at, effect in bench.effects if effect[1:] == (key, (peer(2).endpoint, peer(2).publish_endpoint))]
    assert [at for at, _ in knocks] == pytest.approx([0.0, 0.05, 0.15])


def knock_until_the_end(bench: PeerBench, far: Far, *answers: tuple[Knock, Knock]) -> int:
    """Drops the connection and answers knock after knock; how many knocks there were."""
    key = far.key
    bench.disconnect(key)
    asked = 0
    for _ in range(80):
        bench.wait(0.01)
        if len(bench.knocks) > asked:
            bench.knocked(key, *answers[asked])
            asked += 1
    return asked


NOBODY = (REFUSED, REFUSED)


def test_refused_at_both_ports_three_times_and_the_neighbour_is_dead_at_once() -> None:
    bench, far = linked()
    assert knock_until_the_end(bench, far, NOBODY, NOBODY, NOBODY) == 3
    assert bench.events(NeighbourReported) == [NeighbourReported(peer(2), Evidence.REFUSED, 0)]
    assert bench.events(PeerDead) == [PeerDead(peer(2))] and bench.events(PeerSuspected) == []
    assert bench.events(NeighbourDown) == [NeighbourDown(peer(2), "connects are refused")]
    neighbour(bench, 3)
    bench.wait(GATHER_S)
    assert bench.deaths == [peer(2)]
    assert bench.now - START < 1.0


@pytest.mark.parametrize("other", [(ACCEPTED, ACCEPTED), (REFUSED, ACCEPTED), (ACCEPTED, REFUSED), (SILENT, REFUSED), (REFUSED, SILENT)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_knock_that_is_not_refused_begins_another_series_and_that_one_decides(place: int, other: tuple[Knock, Knock]) -> None:
    bench, far = linked()
    answers = [*[NOBODY] * place, other, NOBODY, NOBODY, NOBODY]
    assert knock_until_the_end(bench, far, *answers) == place + 4
    assert bench.events(NeighbourReported) == [NeighbourReported(peer(2), Evidence.REFUSED, 0)]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_after_three_series_with_a_knock_that_is_let_in_the_rule_of_misses_is_left(place: int) -> None:
    bench, far = linked()
    answers = [*[NOBODY] * place, (ACCEPTED, REFUSED)] * 3
    assert knock_until_the_end(bench, far, *answers) == len(answers)
    assert bench.events(NeighbourReported) == []
    assert far.link.misses == 0
    assert bench.engine.counters.get("knocks.not_refused") == 3


def test_a_neighbour_that_is_connected_again_is_not_refused() -> None:
    bench, far = linked(reconnect_min_s=0.01)
    bench.disconnect(far.key)
    bench.wait(0.06)
    for _ in range(2):
        bench.knocked(far.key, *NOBODY)
    far.connects()
    bench.forget()
    bench.knocked(far.key, *NOBODY)
    bench.wait(1.0)
    assert bench.events(NeighbourReported) == [] and bench.knocks == [], "nor knocked at any more"


def test_every_drop_begins_the_knocking_anew() -> None:
    bench, far = linked(reconnect_min_s=0.01)
    bench.disconnect(far.key)
    bench.wait(0.06)
    for _ in range(2):
        bench.knocked(far.key, *NOBODY)
    far.connects()
    bench.disconnect(far.key)
    bench.wait(0)
    bench.knocked(far.key, *NOBODY)
    assert bench.events(NeighbourReported) == []


def test_a_link_that_never_came_up_is_not_knocked_at() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.connects()
    bench.disconnect(far.key)
    bench.wait(1.0)
    assert bench.knocks == []


def test_knocks_that_answer_after_the_link_is_gone_mean_nothing() -> None:
    bench, far = linked()
    key = far.key
    assert knock_until_the_end(bench, far, NOBODY, NOBODY, NOBODY) == 3
    bench.forget()
    bench.knocked(key, *NOBODY)
    assert bench.effects == []


# -- a pause of 25 seconds ------------------------------------------------------------------------------------------------

PHASES = [phase / 4 for phase in range(4 * int(BEAT))]


def misses_in_a_pause(phase: float, pause_s: float) -> list[int]:
    """The misses counted of a neighbour that answers at once, but for one pause that begins at `phase` of the beat."""
    bench, far = linked()
    bench.wait(BEAT)
    answer(bench, far)
    stops = bench.sent_at(Probe)[0] + phase
    resumes = stops + pause_s
    answered = 0
    bench.forget()
    while bench.now < resumes + 2 * BEAT and not bench.events(NeighbourReported):
        bench.wait(0.25)
        waiting = [probe for _, probe in bench.sent(Probe)][answered:]
        if not stops <= bench.now < resumes and not bench.events(NeighbourReported):
            for probe in waiting:
                far.reply(Reply(probe.timestamp, probe.port, far.record.port, probe.probe))
            answered += len(waiting)
    return [event.misses for event in bench.events(ProbeMissed)]


def test_a_neighbour_that_pauses_25_seconds_never_misses_three_times_whatever_the_phase() -> None:
    found = {phase: misses_in_a_pause(phase, 25.0) for phase in PHASES}
    assert all(max(misses, default=0) <= 2 for misses in found.values()), found
    assert any(misses for misses in found.values()), "some phase notices it"


def test_a_neighbour_that_pauses_45_seconds_is_noticed_whatever_the_phase() -> None:
    found = {phase: misses_in_a_pause(phase, 45.0) for phase in PHASES[::4]}
    assert all(max(misses) == 3 for misses in found.values()), found


@pytest.mark.parametrize("phase", PHASES[::4])
def test_a_peer_that_pauses_25_seconds_itself_accuses_nobody_and_is_not_accused(phase: float) -> None:
    mesh = Mesh()
    seed = mesh.seed(1)
    peers = [mesh.peer(number, seeds=[seed]) for number in range(1, 6)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(20 + phase)
    mesh.hang(peers[0])
    mesh.run(25)
    mesh.resume(peers[0])
    mesh.run(40)
    events = [event for place in peers for event in place.events]
    assert not any(isinstance(event, NeighbourReported | PeerSuspected | PeerDead) for event in events)
    assert [place.engine.view.up_count for place in peers] == [4] * 5 and len(seed.engine.registry) == 5


def test_in_lan_a_hung_neighbour_is_reported_after_three_misses_and_a_crashed_one_at_once() -> None:
    mesh = Mesh()
    peers = [mesh.peer(number, knobs=LAN) for number in (1, 2, 3)]
    for place in peers:
        mesh.introduce(place, *peers)
    mesh.run(5)
    mesh.hang(peers[1])
    mesh.run(1.4)
    assert not any(isinstance(event, NeighbourReported) for event in peers[0].events)
    mesh.run(2.2)
    assert [event.evidence for event in peers[0].events if isinstance(event, NeighbourReported)] == [Evidence.MISSES]
    mesh.crash(peers[2])
    mesh.run(0.2)
    assert [event.evidence for event in peers[0].events if isinstance(event, NeighbourReported)][1:] == [Evidence.REFUSED]


def test_a_neighbour_whose_hello_was_meant_for_somebody_else_is_probed_as_before() -> None:
    bench, far = linked()
    far.hello(target=peer(99).id)
    assert bench.engine.view.by_peer(far.record.id) is far.link
    bench.forget()
    bench.wait(26.0)
    assert len([key for key, _ in bench.sent(Probe) if key == far.key]) == 2
