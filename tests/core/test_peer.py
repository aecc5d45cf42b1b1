"""The switchboard of a peer: what each message does, how it joins, is ready, is called dead, and leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.core.harness import (
    CODEC,
    EPOCH,
    REFUSED,
    START,
    TICKET,
    WALL,
    Far,
    PeerBench,
    config,
    deaths_frame,
    neighbour,
    notice_segment,
    peer,
    segment,
    spoiled,
    ticket_of,
)
from tests.core.mesh import Mesh
from zmqgossip.core import outbox
from zmqgossip.core.codes import Body, Evidence, Why
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.deaths import GATHER_S
from zmqgossip.core.events import Left, NeighbourDown, NeighbourReported, PeerDead, PeerJoined, PeerLeft, Ready, Refuted, VersionRefused
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.hearsay import HEARD_S
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
    Refused,
    Register,
    Registered,
    Reply,
    Report,
    UnknownLink,
    UnknownPeer,
    Verdict,
    Welcome,
    WrongCluster,
    WrongVersion,
)
from zmqgossip.core.types import FIRST_ID, PeerRecord, PeerState
from zmqgossip.core.view import LinkState
from zmqgossip.core.wire import FRAME_BYTES_MAX, Codec

ALIVE, SUSPECT, DEAD, LEFT = PeerState.ALIVE, PeerState.SUSPECT, PeerState.DEAD, PeerState.LEFT
NONCE = b"12345678"
ANY = peer(60)

FROM_SEEDS: list[Body] = [
    Registered(True, 1, []),
    NotListed(Why.FULL, "10.0.0.1", 1, ""),
    Listed(0, False, []),
    Present(0, []),
    UnknownPeer(0, 0),
    Verdict(ANY, DEAD),
]
FROM_NEIGHBOURS: list[Body] = [
    Welcome(ANY, NONCE, NONCE, ""),
    Refused(Why.FULL, 0, 0, []),
    UnknownLink(NONCE, ANY.id),
    Reply(1.0, 1, 1, NONCE),
]
TO_SEEDS: list[Body] = [
    Register(ANY, ticket_of(ANY)),
    List(FIRST_ID, 1),
    Presence(ANY, TICKET, 1),
    Report(ANY.id, ANY, Evidence.MISSES, 3, 1.0),
]
TO_NEIGHBOURS: list[Body] = [
    Hello(ANY, ANY.id, NONCE, []),
    Probe(1.0, 1, NONCE, NONCE),
    Bye(NONCE, ""),
    Leave(ANY, NONCE, 0),
    LinkUp(NONCE),
]
OTHERS: list[Body] = [Check(NONCE, NONCE), Checked(ANY, NONCE, True), WrongVersion(2, 0), LeaveHeard()]


def name(body: Body) -> str:
    return type(body).__name__


# -- what is unexpected ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [*FROM_SEEDS, *FROM_NEIGHBOURS, *TO_SEEDS, LinkUp(NONCE), *OTHERS[1:], WrongCluster()], ids=name)
def test_a_request_that_is_not_for_peers_is_counted_and_does_nothing(body: Body) -> None:
    bench = PeerBench()
    bench.request(body, address=ANY.host)
    assert bench.effects == [] and bench.count("refused.unexpected") == 1


@pytest.mark.parametrize("body", [*FROM_SEEDS, *TO_SEEDS, *TO_NEIGHBOURS, *OTHERS[:3], WrongCluster()], ids=name)
def test_an_unexpected_answer_of_a_neighbour_is_counted_and_does_nothing(body: Body) -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    bench.forget()
    far.reply(body)
    assert bench.effects == [] and bench.count("refused.unexpected") == 1 and far.link.state is LinkState.UP


@pytest.mark.parametrize("body", [*FROM_NEIGHBOURS, *TO_SEEDS, *TO_NEIGHBOURS, *OTHERS[:3]], ids=name)
def test_an_unexpected_answer_of_a_seed_is_counted_and_does_nothing(body: Body) -> None:
    bench = PeerBench()
    seed = bench.join()
    bench.forget()
    bench.reply(seed, body)
    assert bench.effects == [] and bench.count("refused.unexpected") == 1


@pytest.mark.parametrize("frame", [b"", b"x", bytes(FRAME_BYTES_MAX), spoiled(CODEC.encode(LeaveHeard())), Codec(1).encode(LeaveHeard())])
def test_a_frame_that_is_refused_is_counted_by_its_reason_wherever_it_comes_in(frame: bytes) -> None:
    bench = PeerBench()
    seed = bench.join()
    far = neighbour(bench, 2)
    bench.forget()
    bench.call(bench.engine.on_request, b"route", frame, "10.0.0.2")
    bench.call(bench.engine.on_reply, far.key, frame)
    bench.call(bench.engine.on_reply, seed, frame)
    bench.gossip(far.key, frame)
    assert bench.effects == [] and bench.engine.counters.refused_count == 4 and far.link.state is LinkState.UP


def test_a_newer_major_version_is_answered_and_told_once() -> None:
    bench = PeerBench()
    frame = CODEC.encode(Check(NONCE, NONCE))
    for _ in range(3):
        bench.call(bench.engine.on_request, b"route", frame[:2] + b"\x02\x00" + frame[4:], "10.0.0.2")
    assert bench.replies(WrongVersion) == [WrongVersion(1, 0)] * 3 and len(bench.events(VersionRefused)) == 1


def test_a_frame_for_a_dealer_that_is_closed_is_dropped_and_counted() -> None:
    bench = PeerBench()
    bench.reply(99, LeaveHeard())
    bench.call(bench.engine.on_connected, 99)
    bench.disconnect(99)
    bench.knocked(99, REFUSED, REFUSED)
    assert bench.effects == [] and bench.count("dropped.link_gone") == 1


def test_whoever_asks_is_told_who_lives_here() -> None:
    bench = PeerBench()
    bench.request(Check(NONCE, NONCE))
    assert bench.replies(Checked) == [Checked(bench.engine.me, NONCE, False)] and bench.count("checks.answered") == 1


# -- joining --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "last"), [("subscribes", "link_up"), ("link_up", "subscribes")])
def test_the_peer_is_announced_to_everybody_when_its_first_link_is_up_and_it_has_a_baseline(first: str, last: str) -> None:
    bench = PeerBench(knobs=config(neighbours_dialled=2))
    bench.join(peer(2), peer(3))
    far = Far(bench, peer(2))
    far.connects()
    far.welcome()
    getattr(far, first)()
    assert far.asked_at is None
    getattr(far, last)()
    assert bench.notices == []
    far.gives_baseline()
    assert [(notice.record, notice.state) for notice in bench.notices] == [(bench.engine.me, ALIVE)] and bench.engine.me.ready


def test_a_peer_is_ready_with_one_link_up_and_a_baseline_while_others_still_come_up() -> None:
    bench = PeerBench()
    seed = bench.join(peer(2), peer(3))
    far = Far(bench, peer(2)).links_up()
    bench.wait(0.1)
    assert not bench.engine.me.ready and bench.events(Ready) == [] and bench.notices == []
    far.gives_baseline()
    assert bench.engine.me.ready and bench.events(Ready) == [Ready(1)]
    assert bench.notices[-1].record.ready, "everybody is told"
    assert [(key, body.record.ready) for key, body in bench.sent(Presence)][-1] == (seed, True), "the seeds are told"


def test_a_link_that_somebody_else_dialled_is_enough_for_who_dials_nobody() -> None:
    bench = PeerBench()
    neighbour(bench, 2)
    assert bench.engine.me.ready


def test_a_link_that_works_one_way_makes_nobody_ready() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.welcome()
    far.link_up()
    bench.wait(DEFAULT.sync_alone_s + 1.0)
    assert not bench.engine.me.ready


def test_a_peer_is_ready_once_and_stays_so() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.asks(Bye(far.link.mine, ""))
    far = neighbour(bench, 3)
    bench.wait(10.0)
    assert len(bench.events(Ready)) == 1 and bench.engine.me.ready


def test_everybody_is_ready_and_knows_it_of_everybody() -> None:
    mesh = Mesh(3)
    seeds = [mesh.seed(number, knobs=LAN) for number in range(1, 5)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 13)]
    for place in peers:
        place.engine.ready_wanted = 11
        mesh.do(place, "start")
    mesh.run(5.0)
    assert [place.engine.members.ready_count for place in peers] == [11] * 12
    entries = [seed.engine.registry.get(place.engine.me.id) for seed in seeds for place in peers]
    assert all(entry.record.ready for entry in entries if entry is not None) and len([entry for entry in entries if entry]) >= 36


# -- news of others -------------------------------------------------------------------------------------------------------


def heard(bench: PeerBench, origin: int, *notices: Notice, number: int = 1) -> None:
    """Neighbour 2 brings notices of `origin`."""
    bench.gossip(bench.link(peer(2)).key, notice_segment(peer(origin), number, *notices))


def heard_dead(bench: PeerBench, *records: PeerRecord) -> None:
    """Neighbour 2 says that those are dead."""
    bench.gossip(bench.link(peer(2)).key, deaths_frame(*records))


def linked(**knobs: float) -> PeerBench:
    """A peer with the neighbours 2 and 3, which knows 4 too."""
    bench = PeerBench(knobs=config(neighbours_dialled=1, **knobs))
    seed = bench.join()
    bench.attended = True
    neighbour(bench, 2)
    neighbour(bench, 3)
    bench.told(seed, peer(4))
    bench.forget()
    return bench


def test_who_says_of_itself_that_it_lives_is_believed() -> None:
    bench = linked()
    heard(bench, 9, Notice(peer(9, ready=True), ALIVE))
    assert bench.state_of(peer(9)) is ALIVE and bench.events(PeerJoined) == [PeerJoined(peer(9, ready=True))]
    assert bench.engine.members.ready_count == 1


def test_who_is_short_of_links_dials_whoever_is_heard_of() -> None:
    bench = linked()
    bench.disconnect(bench.keys_of(peer(4).endpoint)[0])
    heard(bench, 9, Notice(peer(9), ALIVE))
    assert len(bench.keys_of(peer(9).endpoint)) == 1
    heard(bench, 10, Notice(peer(10), ALIVE))
    assert bench.keys_of(peer(10).endpoint) == [], "one was wanted"


@pytest.mark.parametrize("state", [ALIVE, SUSPECT, DEAD, LEFT])
def test_a_notice_of_another_is_not_believed(state: PeerState) -> None:
    bench = linked()
    before = bench.state_of(peer(4))
    heard(bench, 9, Notice(peer(4, revision=1), state))
    assert bench.state_of(peer(4)) is before is ALIVE and bench.count("dropped.not_the_owner") == 1
    assert len(bench.segments) == 1, "it is passed on all the same: others decide for themselves"


def test_somebody_elses_word_that_a_peer_is_dead_is_taken() -> None:
    bench = linked()
    heard_dead(bench, peer(4))
    assert bench.state_of(peer(4)) is DEAD and bench.events(PeerDead) == [PeerDead(peer(4))]


def test_a_hint_that_a_linked_neighbour_is_dead_is_not_believed() -> None:
    bench = linked()
    heard_dead(bench, peer(3))
    assert bench.state_of(peer(3)) is ALIVE and bench.link(peer(3)).state is LinkState.UP
    assert bench.count("dropped.hint_about_neighbour") == 1 and bench.events(PeerDead) == []


@pytest.mark.parametrize("revision", [2**31, 2**32 - 1])
def test_a_death_that_no_refutation_could_exceed_is_not_believed(revision: int) -> None:
    bench = linked()
    heard_dead(bench, peer(4, revision=revision))
    assert bench.state_of(peer(4)) is ALIVE


@pytest.mark.parametrize("state", [ALIVE, DEAD, LEFT])
def test_news_from_more_than_a_day_ahead_is_dropped(state: PeerState) -> None:
    bench = linked()
    ahead = peer(4, epoch=EPOCH + 2 * 86_400_000)
    if state is DEAD:
        heard_dead(bench, ahead)
    else:
        heard(bench, 4, Notice(ahead, state))
    assert bench.state_of(peer(4)) is ALIVE and bench.count("dropped.epoch") == 1


def test_a_neighbour_that_says_by_gossip_that_it_goes_is_unlinked_without_a_bye() -> None:
    bench = linked()
    heard(bench, 3, Notice(peer(3), LEFT))
    assert bench.state_of(peer(3)) is LEFT and bench.engine.view.by_peer(peer(3).id) is None
    assert bench.events(PeerLeft) == [PeerLeft(peer(3))] and bench.events(NeighbourDown) == [NeighbourDown(peer(3), "left")]
    assert bench.sent(Bye) == []


def test_several_notices_in_one_segment_all_count() -> None:
    bench = linked()
    heard(bench, 9, Notice(peer(4, revision=1), ALIVE), Notice(peer(9), ALIVE), Notice(peer(9, revision=1, ready=True), ALIVE))
    assert bench.state_of(peer(9)) is ALIVE and bench.engine.members.ready_count == 1


def listed_at_the_seed(bench: PeerBench, record: PeerRecord, state: PeerState) -> None:
    bench.told(bench.asked_seeds[0], record, state=state)


@pytest.mark.parametrize("state", [DEAD, LEFT])
def test_whom_a_seed_took_off_is_gone_here_too(state: PeerState) -> None:
    bench = linked()
    listed_at_the_seed(bench, peer(4), state)
    listed_at_the_seed(bench, peer(5), state)
    assert bench.state_of(peer(4)) is state and bench.notices == []
    assert bench.state_of(peer(5)) is None, "nobody mourns a stranger"


def test_a_linked_neighbour_that_a_seed_took_off_is_still_believed_in() -> None:
    bench = linked()
    listed_at_the_seed(bench, peer(3), DEAD)
    assert bench.state_of(peer(3)) is ALIVE and bench.link(peer(3)).state is LinkState.UP


@pytest.mark.parametrize("revision", [3, 5])
def test_whom_a_seed_lists_and_this_peer_holds_dead_is_told_what_it_must_exceed(revision: int) -> None:
    bench = linked()
    heard_dead(bench, peer(4, revision=5))
    bench.wait(HEARD_S - 0.1)
    bench.forget()
    listed_at_the_seed(bench, peer(4, revision=revision), ALIVE)
    assert bench.notices == [], "its death gets round still"
    bench.wait(0.1)
    for _ in range(50):
        listed_at_the_seed(bench, peer(4, revision=revision), ALIVE)
    assert (bench.count("challenges.sent"), bench.count("dropped.challenge")) == (1, 49)
    assert [(notice.record.order, notice.state) for notice in bench.notices] == [((EPOCH, 5), SUSPECT)], "said once in a while"
    assert bench.state_of(peer(4)) is DEAD, "only its owner revives it"
    bench.wait(1.0)
    listed_at_the_seed(bench, peer(4, revision=revision), ALIVE)
    assert len(bench.notices) == 2
    heard(bench, 4, Notice(peer(4, revision=6), ALIVE))
    assert bench.state_of(peer(4)) is ALIVE


def test_whom_a_seed_lists_though_it_has_left_stays_gone_in_peace() -> None:
    bench = linked()
    heard(bench, 4, Notice(peer(4), LEFT))
    bench.forget()
    listed_at_the_seed(bench, peer(4), ALIVE)
    assert bench.state_of(peer(4)) is LEFT and bench.notices == []


# -- a neighbour that leaves ----------------------------------------------------------------------------------------------


def test_a_neighbours_leave_is_confirmed_and_ends_the_link() -> None:
    bench = linked()
    far = Far(bench, peer(3))
    far.asks(Leave(peer(3), far.link.mine, 0))
    assert bench.replies(LeaveHeard) == [LeaveHeard()] and bench.state_of(peer(3)) is LEFT
    assert bench.engine.view.by_peer(peer(3).id) is None and bench.sent(Bye) == [] and bench.sent(Report) == []


def test_what_a_leaving_neighbour_published_before_is_still_taken_and_passed_on() -> None:
    bench = linked()
    far = Far(bench, peer(3))
    far.asks(Leave(peer(3), far.link.mine, 2))
    assert bench.state_of(peer(3)) is LEFT
    far.gossip(segment(peer(3), 1, [b"last words"]))
    assert len(bench.deliveries) == 1 and len(bench.segments) == 1
    assert bench.replies(LeaveHeard) == [], "not all that it published is here"
    far.gossip(notice_segment(peer(3), 2, Notice(peer(3), LEFT)))
    assert bench.replies(LeaveHeard) == [LeaveHeard()]
    assert bench.engine.view.by_peer(peer(3).id) is None and len(bench.segments) == 2
    assert bench.events(PeerLeft) == [PeerLeft(peer(3))]


@pytest.mark.parametrize("drops", [False, True])
def test_a_leaving_neighbour_whose_last_segment_never_comes_is_let_go_soon_and_not_called_dead(drops: bool) -> None:
    bench = linked()
    far = Far(bench, peer(3))
    key = far.key
    far.asks(Leave(peer(3), far.link.mine, 2))
    if drops:
        bench.disconnect(key)
    bench.wait(1.0)
    assert bench.engine.view.by_peer(peer(3).id) is None and key not in bench.open
    assert bench.knocks == [] and bench.events(NeighbourReported) == [] and bench.sent(Report) == []
    bench.wait(60.0)
    assert len(bench.events(PeerLeft)) == 1


def test_a_neighbour_that_has_said_goodbye_is_not_called_dead_when_somebody_else_takes_its_port() -> None:
    bench = linked()
    far = Far(bench, peer(3), (3).to_bytes(8, "big"))
    far.asks(Leave(peer(3), far.link.mine, 2))
    far.reply(UnknownLink(far.nonce, peer(77).id))
    bench.wait(1.0)
    assert bench.sent(Report) == [] and bench.notices == [] and bench.events(NeighbourReported) == []
    assert bench.engine.view.by_peer(peer(3).id) is None


def test_a_leave_in_somebody_elses_name_ends_nothing() -> None:
    bench = linked()
    two, three = bench.link(peer(2)), bench.link(peer(3))
    bench.request(Leave(peer(2), three.mine, 0), address="10.0.0.3")
    bench.request(Leave(peer(3), NONCE, 0), address="10.0.0.3")
    assert two.state is three.state is LinkState.UP and bench.state_of(peer(2)) is bench.state_of(peer(3)) is ALIVE


# -- being called dead ----------------------------------------------------------------------------------------------------

Accuser = Callable[[PeerBench, int], object]
ACCUSERS: dict[str, Accuser] = {
    "a neighbour says dead": lambda bench, revision: heard_dead(bench, peer(1, revision=revision)),
    "gossip says suspect": lambda bench, revision: heard(bench, 9, Notice(peer(1, revision=revision), SUSPECT)),
    "a seed's tombstone": lambda bench, revision: bench.reply(bench.asked_seeds[0], UnknownPeer(EPOCH, revision)),
}


@pytest.mark.parametrize("accuser", ACCUSERS)
def test_who_is_called_dead_answers_with_a_newer_record(accuser: str) -> None:
    bench = linked()
    ACCUSERS[accuser](bench, 6)
    assert bench.engine.me.revision == 7 and bench.events(Refuted) == [Refuted(7)]
    assert [(notice.record.revision, notice.state) for notice in bench.notices] == [(7, ALIVE)], "everybody is told"
    told = [body.record.revision for _, body in [*bench.sent(Presence), *bench.sent(Register)]]
    assert 7 in told, "the seeds are told"


@pytest.mark.parametrize("accuser", ACCUSERS)
def test_a_verdict_that_is_already_exceeded_is_not_refuted_again(accuser: str) -> None:
    bench = linked()
    ACCUSERS[accuser](bench, 6)
    bench.wait(5.0)
    bench.forget()
    heard_dead(bench, peer(1, revision=6))
    assert bench.engine.me.revision == 7 and bench.events(Refuted) == [] and bench.notices == []


@pytest.mark.parametrize("accuser", ACCUSERS)
def test_nothing_is_refuted_while_leaving(accuser: str) -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    bench.forget()
    ACCUSERS[accuser](bench, 6)
    assert bench.engine.me.revision == 0 and bench.events(Refuted) == [] and bench.notices == []
    assert bench.sent(Register) == [] and bench.sent(Presence) == []


@pytest.mark.parametrize("revision", [2**32 - 1, 2**64 - 1])
def test_a_verdict_that_cannot_be_exceeded_harms_nobody(revision: int) -> None:
    bench = linked()
    bench.reply(bench.asked_seeds[0], UnknownPeer(EPOCH, revision))
    if revision < 2**32:
        heard_dead(bench, peer(1, revision=revision))
    assert bench.engine.me.revision <= 2**32 - 1
    bench.wait(60.0)


@pytest.mark.parametrize("accuser", ACCUSERS)
def test_a_lie_about_a_revision_far_ahead_takes_from_nobody_what_it_answers_the_next_ones_with(accuser: str) -> None:
    bench = linked()
    ACCUSERS[accuser](bench, 2**32 - 2)
    assert bench.engine.me.revision == 0 and bench.count("dropped.verdict_too_far_ahead") == 1
    heard_dead(bench, peer(1, revision=1_000))
    assert bench.engine.me.revision == 1_001 and bench.events(Refuted) == [Refuted(1_001)]


def test_a_liar_does_not_make_it_shout_at_wire_speed() -> None:
    bench = linked()
    for _ in range(1, 200):
        heard_dead(bench, bench.engine.me)
    assert len(bench.events(Refuted)) <= 2
    bench.wait(5.0)
    heard_dead(bench, bench.engine.me)
    assert 2 <= len(bench.events(Refuted)) <= 3, "later it answers again"


def test_who_lost_all_links_says_again_who_it_is_when_it_has_one() -> None:
    bench = linked()
    for number in (2, 3):
        far = Far(bench, peer(number))
        far.asks(Bye(far.link.mine, ""))
    bench.forget()
    neighbour(bench, 5)
    neighbour(bench, 6)
    assert [(notice.record, notice.state) for notice in bench.notices] == [(bench.engine.me, ALIVE)]


def test_who_was_called_dead_without_a_link_tells_everybody_when_it_has_one_again() -> None:
    bench = linked()
    for number in (2, 3):
        far = Far(bench, peer(number))
        far.asks(Bye(far.link.mine, ""))
    assert bench.engine.view.up_count == 0
    bench.reply(bench.asked_seeds[0], UnknownPeer(EPOCH, 0))
    bench.forget()
    neighbour(bench, 5)
    assert [(notice.record.revision, notice.state) for notice in bench.notices] == [(1, ALIVE)]


def test_a_false_death_is_undone_everywhere() -> None:
    mesh = Mesh(1)
    seeds = [mesh.seed(number, knobs=LAN) for number in (1, 2)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 13)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    victim, liar = peers[0].engine.me, peers[1]
    liar.engine.gossip.announce(liar.engine.me, DEAD, [victim], mesh.now)
    mesh.do(liar, "on_timers")
    mesh.run(1.0)
    assert peers[0].engine.me.revision == 1
    for place in peers[1:]:
        held = place.engine.members.get(victim.id)
        assert held is not None and held.state is ALIVE and held.record.revision == 1
    mesh.crash(peers[0])
    mesh.run(8.0)
    assert not any(place.engine.members.is_living(victim.id) for place in peers[1:]), "its real death is believed"
    assert all(seed.engine.registry.get(victim.id) is None for seed in seeds)


# -- somebody else at the address -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["not me", "unknown link"])
def test_somebody_else_at_a_neighbours_address_means_that_the_neighbour_is_dead(how: str) -> None:
    bench = linked()
    far = Far(bench, peer(3))
    far.nonce = (3).to_bytes(8, "big")
    far.reply(Refused(Why.NOT_ME, 0, 0, []) if how == "not me" else UnknownLink(far.nonce, peer(77).id))
    assert bench.state_of(peer(3)) is DEAD and [report.evidence for _, report in bench.sent(Report)] == [Evidence.REPLACED]
    bench.wait(GATHER_S)
    assert bench.deaths == [peer(3)]


# -- leaving --------------------------------------------------------------------------------------------------------------


def test_a_leave_is_told_to_everybody_by_gossip_and_to_neighbours_and_seeds_in_person() -> None:
    bench = linked()
    bench.call(bench.engine.publish, [("topic", b"x", WALL)])
    bench.forget()
    bench.call(bench.engine.leave)
    last = bench.engine.gossip.number
    assert [(notice.record, notice.state, notice.last) for notice in bench.notices] == [(bench.engine.me, LEFT, last)]
    nonces = {bench.link(peer(number)).key: bench.link(peer(number)).theirs for number in (2, 3)}
    tickets = {key: body.ticket for key, body in bench.sent(Leave)}
    assert bench.engine.presence.has_ticket(tickets.pop(bench.asked_seeds[0])) and tickets == nonces
    assert {body.last for _, body in bench.sent(Leave)} == {last}


def test_a_leave_is_done_as_soon_as_all_have_heard_it() -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    *others, last = [key for key, _ in bench.sent(Leave)]
    bench.wait(0.05)
    for key in others:
        bench.reply(key, LeaveHeard())
        assert not bench.engine.finished
    bench.reply(last, LeaveHeard())
    assert bench.engine.finished and bench.events(Left) == [Left(3, 3)] and bench.now == START + 0.05
    bench.wait(1.0)
    assert len(bench.events(Left)) == 1


def test_a_leave_that_some_do_not_hear_is_done_at_the_deadline() -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    bench.reply(bench.sent(Leave)[0][0], LeaveHeard())
    bench.wait(DEFAULT.leave_timeout_s - 0.001)
    assert not bench.engine.finished
    bench.wait(0.001)
    assert bench.engine.finished and bench.events(Left) == [Left(1, 3)]


def test_a_neighbour_is_told_as_soon_as_its_dealer_connects_and_is_waited_for() -> None:
    bench = linked()
    far = Far(bench, peer(4))
    far.hello()  # its link may be up before this one's DEALER is connected
    bench.call(bench.engine.leave)
    told = [key for key, _ in bench.sent(Leave)]
    assert far.key not in told
    for key in told:
        bench.reply(key, LeaveHeard())
    assert not bench.engine.finished
    far.connects()
    assert [body.ticket for key, body in bench.sent(Leave) if key == far.key] == [far.nonce]
    bench.reply(far.key, LeaveHeard())
    assert bench.engine.finished


def test_who_welcomes_one_that_is_leaving_is_told_and_sees_no_link_come_up() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    assert bench.sent(Hello)
    bench.call(bench.engine.leave)
    bench.reply(bench.asked_seeds[0], LeaveHeard())
    assert not bench.engine.finished
    far.welcome()
    assert [body.ticket for key, body in bench.sent(Leave) if key == far.key] == [far.nonce]
    assert bench.of(outbox.SUBSCRIBE) == []
    bench.reply(far.key, LeaveHeard())
    assert bench.engine.finished


def test_who_leaves_says_hello_to_nobody_any_more_and_waits_for_nobody_whom_it_has_not_greeted() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    far = Far(bench, peer(2))
    bench.call(bench.engine.leave)
    far.connects()
    assert bench.sent(Hello) == []
    bench.reply(bench.asked_seeds[0], LeaveHeard())
    assert bench.engine.finished


@pytest.mark.parametrize("end", [Bye(NONCE, "test", []), Refused(Why.FULL, 0, 0, [])])
def test_a_link_that_its_other_end_gives_up_is_not_waited_for(end: Bye | Refused) -> None:
    bench = linked()
    far = Far(bench, peer(3))
    bench.call(bench.engine.leave)
    key = far.key
    for other, _ in bench.sent(Leave):
        if other != key:
            bench.reply(other, LeaveHeard())
    assert not bench.engine.finished
    if isinstance(end, Bye):
        far.asks(Bye(far.link.mine, "test", []))
    else:
        far.reply(end)
    assert bench.engine.finished


def test_the_deadline_is_less_than_a_second() -> None:
    assert DEFAULT.leave_timeout_s < 1.0 and LAN.leave_timeout_s < 1.0


def test_who_cannot_be_told_is_not_waited_for() -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    for key, _ in bench.sent(Leave):
        bench.disconnect(key)
    assert bench.engine.finished and [left.heard for left in bench.events(Left)] == [0]


def test_a_neighbour_that_leaves_at_the_same_time_is_not_waited_for() -> None:
    bench = linked()
    far = Far(bench, peer(3))
    bench.call(bench.engine.leave)
    far.asks(Leave(peer(3), far.link.mine, 0))
    for key, _ in bench.sent(Leave):
        if key in bench.open:
            bench.reply(key, LeaveHeard())
    assert bench.engine.finished


def test_with_no_seed_alive_and_no_link_a_leave_is_done_at_the_deadline() -> None:
    bench = PeerBench(seeds=4)
    bench.start()
    bench.call(bench.engine.leave)
    assert not bench.engine.finished and bench.notices == []
    bench.wait(DEFAULT.leave_timeout_s)
    assert bench.engine.finished


@pytest.mark.parametrize("joined", [True, False])
def test_a_link_that_comes_up_while_leaving_announces_nothing(joined: bool) -> None:
    bench = linked(leave_timeout_s=10.0) if joined else PeerBench(knobs=config(leave_timeout_s=10.0))
    far = Far(bench, peer(7), b"7 nonce.")
    far.hello()
    far.connects()
    bench.call(bench.engine.leave)
    bench.forget()
    far.subscribes()
    far.link_up()
    bench.wait(5.0)
    assert bench.notices == [] and bench.sent(Presence) == []


def test_who_leaves_dials_nobody_and_takes_no_new_links() -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    bench.forget()
    bench.told(bench.asked_seeds[0], peer(20), peer(21))
    Far(bench, peer(22)).hello()
    assert bench.of(outbox.OPEN) == [] and [refused.why for refused in bench.replies(Refused)] == [Why.FULL]


def test_who_leaves_renews_its_presence_no_more() -> None:
    bench = linked(leave_timeout_s=60.0)
    bench.call(bench.engine.leave)
    bench.forget()
    bench.wait(30.0)
    assert bench.sent(Presence) == [] and bench.sent(Register) == [] and bench.sent(List) == []


def test_a_leave_that_is_asked_for_twice_is_one_leave() -> None:
    bench = linked()
    bench.call(bench.engine.leave)
    before = len(bench.sent(Leave)), len(bench.notices)
    bench.wait(DEFAULT.leave_timeout_s - 0.1)
    bench.call(bench.engine.leave)
    assert (len(bench.sent(Leave)), len(bench.notices)) == before
    bench.wait(0.1)
    assert bench.engine.finished


def test_a_leave_reaches_everybody_and_nobody_is_reported() -> None:
    mesh = Mesh(2)
    seeds = [mesh.seed(number, knobs=LAN) for number in (1, 2, 3, 4)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 13)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    leaver = peers[0]
    mesh.do(leaver, "publish", [("topic", b"last words", WALL)])
    mesh.do(leaver, "leave")
    mesh.settle()
    assert leaver.engine.finished
    assert all(any(b"last words" in segment.frame for segment in place.delivered) for place in peers[1:])
    mesh.crash(leaver)
    mesh.run(10.0)
    for place in peers[1:]:
        held = place.engine.members.get(leaver.engine.me.id)
        assert held is not None and held.state is LEFT
        assert not any(isinstance(event, NeighbourReported | PeerDead) for event in place.events)
    assert all(seed.engine.registry.get(leaver.engine.me.id) is None for seed in seeds)


# -- nothing is left behind -----------------------------------------------------------------------------------------------


def test_links_that_come_and_go_leave_nothing_behind() -> None:
    bench = PeerBench(knobs=config(redial_min_s=600.0, redial_max_s=3600.0))
    neighbour(bench, 2)
    waits = len(bench.engine.node.timers)
    for number in range(10, 210):
        far = neighbour(bench, number)
        if number % 4 == 0:
            far.asks(Bye(far.link.mine, ""))
        elif number % 4 == 1:
            far.asks(Leave(far.record, far.link.mine, 0))
        elif number % 4 == 2:
            heard(bench, number, Notice(far.record, LEFT))
        else:
            far.reply(UnknownLink(far.nonce, far.record.id))
        bench.now += 1.0 / 14  # links that others begin are limited in number a second
    assert list(bench.open) == [bench.link(peer(2)).key] and len(bench.engine.view) == 1
    assert len(bench.engine.node.timers) <= waits + 2, "at most two more: when to dial again, and when streams of the gone fade"
