"""Whom a peer is linked with: dialling, the handshake, up both ways, and what becomes of links that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import msgspec
import pytest

from tests.core.harness import CODEC, EPOCH, START, Far, PeerBench, config, neighbour, notice_segment, peer, receipt
from tests.core.mesh import Mesh, Place
from zmqgossip.core import outbox
from zmqgossip.core.codes import Why
from zmqgossip.core.config import DEFAULT
from zmqgossip.core.events import Isolated, NeighbourDown, NeighbourUp, Refuted
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Bye, Hello, LinkUp, Refused, UnknownLink, Welcome
from zmqgossip.core.types import PeerId, PeerRecord, PeerState
from zmqgossip.core.view import LinkState
from zmqgossip.core.wire import LINK_TOPIC_BYTES, link_topic, parse_link_topic

MANY = [peer(number) for number in range(2, 12)]


def dialled(bench: PeerBench) -> list[PeerRecord]:
    """Those of MANY that a DEALER is open to."""
    return [record for record in MANY if bench.keys_of(record.endpoint)]


def dialling(*records: PeerRecord, luck: int = 1, **knobs: float) -> tuple[PeerBench, int]:
    """A peer whose one seed has named `records`, and the key of that seed."""
    bench = PeerBench(luck=luck, knobs=config(**knobs))
    return bench, bench.join(*records)


def opened_at(bench: PeerBench, record: PeerRecord) -> list[float]:
    """When DEALERs to that peer were opened."""
    return [at for at, effect in bench.effects if effect[0] == outbox.OPEN and effect[2] == record.endpoint]


# -- dialling -------------------------------------------------------------------------------------------------------------


def test_of_many_candidates_four_are_dialled() -> None:
    bench, _ = dialling(*MANY)
    assert len(dialled(bench)) == 4


def test_whom_it_dials_is_chance() -> None:
    choices = {tuple(dialled(dialling(*MANY, luck=luck)[0])) for luck in range(20)}
    assert len(choices) >= 15 and set().union(*choices) == set(MANY)


def test_with_few_candidates_all_are_dialled_and_newcomers_when_they_are_heard_of() -> None:
    bench, seed = dialling(*MANY[:2])
    assert dialled(bench) == MANY[:2]
    bench.told(seed, *MANY)
    assert len(dialled(bench)) == 4 and set(MANY[:2]) < set(dialled(bench))


def test_suspects_are_dialled_only_when_nobody_else_is_left() -> None:
    for luck in range(10):
        bench, seed = dialling(luck=luck, neighbours_dialled=1)
        bench.told(seed, *MANY[:6], state=PeerState.SUSPECT)
        (first,) = dialled(bench)
        bench.told(seed, *MANY[6:8])
        bench.disconnect(bench.keys_of(first.endpoint)[0])
        assert dialled(bench)[0] in MANY[6:8]


def test_links_that_others_dialled_do_not_count_as_dialled_but_towards_the_most() -> None:
    bench = PeerBench(knobs=config(neighbours_max=6, neighbours_spare=0))
    for number in range(2, 5):
        neighbour(bench, number)
    bench.join(*MANY)
    assert len(bench.engine.view) == 6 and bench.engine.view.dialled_count == 3


def test_nobody_dials_itself_or_the_dead() -> None:
    bench, seed = dialling(peer(1))
    assert dialled(bench) == [] and bench.keys_of(peer(1).endpoint) == []
    bench.told(seed, *MANY[:3], state=PeerState.DEAD)
    assert dialled(bench) == []


# -- the handshake of who dials -------------------------------------------------------------------------------------------


def test_the_dialler_says_hello_when_it_is_connected_and_repeats_it_until_it_is_welcomed() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    bench.wait(1.0)
    assert bench.sent(Hello) == []
    far.connects()
    bench.wait(2.5)
    hellos = bench.sent(Hello)
    assert [at - START for at in bench.sent_at(Hello)] == [1.0, 2.0, 3.0]
    assert {(key, body.target, body.nonce) for key, body in hellos} == {(far.key, peer(2).id, far.link.mine)}
    far.welcome()
    bench.wait(3.0)
    assert len(bench.sent(Hello)) == 3


def test_a_welcome_makes_it_subscribe_to_everything_and_last_to_its_own_topic() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.welcome()
    ((key, endpoint, topics),) = bench.of(outbox.SUBSCRIBE)
    assert (key, endpoint) == (far.key, peer(2).publish_endpoint)
    assert list(topics) == [b"D", b"E", link_topic(bench.engine.me.id, far.nonce)] == sorted(topics)


def test_a_second_welcome_changes_nothing() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.welcome()
    bench.forget()
    far.reply(Welcome(peer(2), b"another!", far.link.mine, "plain"))
    assert bench.effects == [] and far.link.theirs == far.nonce and bench.count("handshake.stale_welcome") == 1


@pytest.mark.parametrize(("record", "yours"), [(peer(2), b"not mine"), (peer(3), None)], ids=["of another link", "of another peer"])
def test_a_welcome_that_is_not_of_this_link_is_counted_and_ignored(record: PeerRecord, yours: bytes | None) -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Welcome(record, far.nonce, yours or far.link.mine, "plain"))
    assert far.link.state is LinkState.DIALLING and bench.count("handshake.stale_welcome") == 1


def test_a_welcome_brings_the_newest_record_of_its_sender() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2, revision=3, ready=True))
    far.connects()
    far.welcome()
    held = bench.engine.members.get(peer(2).id)
    assert held is not None and held.record == peer(2, revision=3, ready=True) == far.link.peer


# -- the handshake of who is dialled --------------------------------------------------------------------------------------


def test_a_hello_is_welcomed_dialled_back_and_subscribed_to() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    assert bench.replies(Welcome) == [Welcome(bench.engine.me, far.link.mine, far.nonce, "plain", receipt(bench.engine.me, far.record))]
    assert bench.open == {far.key: peer(2).endpoint}
    ((key, endpoint, topics),) = bench.of(outbox.SUBSCRIBE)
    assert (key, endpoint, topics[-1]) == (far.key, peer(2).publish_endpoint, link_topic(bench.engine.me.id, far.nonce))
    assert bench.state_of(peer(2)) is None and not far.link.dialled, "it may be one that nobody reaches: the link shows"
    far.comes_up()
    assert bench.state_of(peer(2)) is PeerState.ALIVE


def test_who_is_dialled_says_no_hello_itself() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.connects()
    bench.wait(4.0)
    assert bench.sent(Hello) == []


def test_a_repeated_hello_gets_the_same_welcome_and_makes_no_second_link() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    key = far.key
    far.hello(route=b"another route")
    first, second = bench.replies(Welcome)
    assert first == second and far.key == key and len(bench.engine.view) == 1
    assert len(bench.of(outbox.OPEN)) == 1 and len(bench.of(outbox.SUBSCRIBE)) == 1


def test_a_repeated_hello_leaves_a_link_up_that_is_up() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.hello()
    assert far.link.state is LinkState.UP and bench.events(NeighbourDown) == []


@pytest.mark.parametrize("up", [False, True])
def test_a_hello_with_a_new_nonce_replaces_the_link(up: bool) -> None:
    bench = PeerBench()
    far = neighbour(bench, 2) if up else Far(bench, peer(2))
    if not up:
        far.hello()
    old = far.link
    far.nonce = b"new life"
    bench.wait(1.0)
    far.hello()
    assert far.link is not old and len(bench.engine.view) == 1
    assert list(bench.open) == [far.key] and far.link.theirs == b"new life"
    assert len(bench.events(NeighbourDown)) == up
    assert far.comes_up().link.state is LinkState.UP
    waits = len(bench.engine.node.timers)
    neighbour_alone = PeerBench()
    neighbour(neighbour_alone, 2)
    assert waits == len(neighbour_alone.engine.node.timers), "nothing waits any more on behalf of the old link"


Refusal = Callable[[], tuple[PeerBench, Far]]


def full() -> tuple[PeerBench, Far]:
    bench = PeerBench(knobs=config(neighbours_max=8))
    for number in range(2, 6):
        neighbour(bench, number)
    return bench, Far(bench, peer(100))


def dead() -> tuple[PeerBench, Far]:
    bench = PeerBench()
    bench.engine.members.learn(peer(20, revision=3), PeerState.DEAD, 1.0)
    return bench, Far(bench, peer(20, revision=3))


def has_left() -> tuple[PeerBench, Far]:
    bench = PeerBench()
    bench.engine.members.learn(peer(20, epoch=EPOCH + 1), PeerState.LEFT, 1.0)
    return bench, Far(bench, peer(20, revision=3))


@pytest.mark.parametrize(
    ("case", "why", "order"),
    [(full, Why.FULL, (0, 0)), (dead, Why.TOMBSTONE, (EPOCH, 3)), (has_left, Why.TOMBSTONE, (EPOCH + 1, 0))],
)
def test_a_hello_is_refused_with_the_reason(case: Refusal, why: Why, order: tuple[int, int]) -> None:
    bench, far = case()
    before = len(bench.engine.view), bench.open.copy(), bench.state_of(far.record)
    bench.forget()
    far.hello()
    (refused,) = bench.replies(Refused)
    assert (refused.why, (refused.epoch, refused.revision)) == (why, order)
    assert (len(bench.engine.view), bench.open, bench.state_of(far.record)) == before
    assert bench.count(f"hello.{why.name.lower()}") == 1 and bench.replies(Welcome) == []


@pytest.mark.parametrize("target", [peer(3).id, peer(2).id])
def test_a_hello_to_somebody_else_is_told_so(target: PeerId) -> None:
    bench = PeerBench()
    Far(bench, peer(2)).hello(target=target)
    assert [refused.why for refused in bench.replies(Refused)] == [Why.NOT_ME]
    assert len(bench.engine.view) == 0 and bench.state_of(peer(2)) is None


def test_a_hello_in_ones_own_name_is_refused() -> None:
    bench = PeerBench()
    bench.request(Hello(peer(1), peer(1).id, b"12345678", ["plain"]), address="10.0.0.1")
    assert [refused.why for refused in bench.replies(Refused)] == [Why.NOT_ME] and len(bench.engine.view) == 0


def test_a_hello_that_announces_an_address_it_does_not_come_from_is_refused() -> None:
    bench = PeerBench()
    bench.request(Hello(peer(2), peer(1).id, b"12345678", ["plain"]), address="10.0.0.66")
    assert [refused.why for refused in bench.replies(Refused)] == [Why.ADDRESS]
    assert bench.count("hello.address") == 1 and bench.open == {} and bench.state_of(peer(2)) is None


def test_a_hello_from_more_than_a_day_ahead_is_refused() -> None:
    bench = PeerBench()
    Far(bench, peer(2, epoch=EPOCH + 2 * 86_400_000)).hello()
    assert [refused.why for refused in bench.replies(Refused)] == [Why.EPOCH] and len(bench.engine.view) == 0


@pytest.mark.parametrize("newer", [peer(20, revision=4), peer(20, epoch=EPOCH + 1)], ids=["revision", "epoch"])
def test_a_newer_record_gets_past_a_tombstone(newer: PeerRecord) -> None:
    bench, _ = dead()
    Far(bench, newer).hello()
    assert len(bench.replies(Welcome)) == 1 and bench.state_of(newer) is PeerState.ALIVE


def test_a_full_one_names_some_others_and_never_the_asker() -> None:
    bench, far = full()
    bench.join(*[peer(number) for number in range(20, 60)])
    far.hello()
    (refused,) = bench.replies(Refused)
    assert len(refused.candidates) == 16 and len(set(refused.candidates)) == 16
    assert far.record not in refused.candidates and bench.engine.me not in refused.candidates


# -- being refused --------------------------------------------------------------------------------------------------------


def test_who_finds_a_full_one_dials_the_candidates_that_it_names() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.FULL, 0, 0, MANY[1:4]))
    assert dialled(bench) == MANY[1:4]
    assert bench.state_of(peer(2)) is PeerState.ALIVE, "it is full, not dead"


@pytest.mark.parametrize("candidate", [peer(5, epoch=EPOCH + 2 * 86_400_000), peer(3, revision=1)], ids=["from the future", "held dead"])
def test_a_candidate_that_is_no_use_is_not_taken(candidate: PeerRecord) -> None:
    bench, seed = dialling(peer(2), peer(3))
    bench.told(seed, peer(3), state=PeerState.DEAD)
    before = bench.state_of(candidate)
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.FULL, 0, 0, [candidate]))
    assert bench.state_of(candidate) is before


def test_who_is_held_dead_raises_its_revision_above_the_verdict_and_registers_it() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.TOMBSTONE, EPOCH, 6, []))
    assert bench.engine.me.order == (EPOCH, 7) and bench.events(Refuted) == [Refuted(7)]
    bench.wait(DEFAULT.redial_min_s)
    far.connects()
    assert [hello.record.revision for _, hello in bench.sent(Hello)] == [0, 7]


@pytest.mark.parametrize(("epoch", "revision"), [(EPOCH - 1, 6), (EPOCH + 1, 0)], ids=["an older life", "a newer life"])
def test_a_verdict_about_another_life_is_not_refuted(epoch: int, revision: int) -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.TOMBSTONE, epoch, revision, []))
    assert bench.engine.me.order == (EPOCH, 0) and bench.events(Refuted) == []


@pytest.mark.parametrize("revision", [2**32 - 1, 2**32, 2**64 - 1])
def test_a_verdict_about_a_revision_that_nobody_can_exceed_changes_nothing(revision: int) -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.TOMBSTONE, EPOCH, revision, []))
    assert bench.engine.me.revision == 0
    bench.wait(60.0)


def test_who_finds_somebody_else_at_an_address_tries_others_and_not_that_one_for_ever() -> None:
    bench, seed = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.NOT_ME, 0, 0, []))
    bench.told(seed, *MANY[1:])
    bench.wait(30.0)
    assert bench.keys_of(peer(2).endpoint) == [] and len(opened_at(bench, peer(2))) == 1
    assert bench.state_of(peer(2)) in (None, PeerState.DEAD)


def test_a_refusal_of_a_link_that_is_up_ends_it_without_leftovers() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.reply(Refused(Why.FULL, 0, 0, []))
    assert len(bench.engine.view) == 0 and bench.open == {} and len(bench.events(NeighbourDown)) == 1
    bench.forget()
    bench.wait(60.0)
    assert bench.count("probes.sent") == 0


# -- up both ways ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [("subscribes", "link_up"), ("link_up", "subscribes")])
@pytest.mark.parametrize("dialler", [True, False])
def test_a_link_is_up_when_it_works_both_ways_and_not_before(steps: tuple[str, str], dialler: bool) -> None:
    bench, _ = dialling(*[peer(2)] * dialler)
    far = Far(bench, peer(2))
    if dialler:
        far.connects()
        far.welcome()
    else:
        far.hello()
    getattr(far, steps[0])()
    assert bench.events(NeighbourUp) == [] and far.link.state is LinkState.LINKING
    getattr(far, steps[1])()
    assert bench.events(NeighbourUp) == [NeighbourUp(peer(2), dialler)] and far.link.state is LinkState.UP
    getattr(far, steps[0])()
    getattr(far, steps[1])()
    assert len(bench.events(NeighbourUp)) == 1


def test_a_subscription_that_is_seen_before_the_welcome_counts_when_the_welcome_has_come() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.subscribes()
    assert bench.events(NeighbourUp) == []
    far.welcome()
    far.link_up()
    assert len(bench.events(NeighbourUp)) == 1


def test_a_seen_link_topic_is_answered_on_that_very_topic() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.subscribes()
    ((frame,),) = bench.of(outbox.PUBLISH)
    assert parse_link_topic(frame[:LINK_TOPIC_BYTES]) == (peer(2).id, far.link.mine)
    assert CODEC.decode(frame[LINK_TOPIC_BYTES:])[0] == LinkUp(far.link.mine)


def topics_nobody_knows(far: Far) -> list[bytes]:
    return [link_topic(peer(2).id, b"no nonce"), link_topic(peer(3).id, far.link.mine)]


@pytest.mark.parametrize("place", [0, 1], ids=["another nonce", "another subscriber"])
def test_a_link_topic_of_nobody_known_is_counted_and_not_answered(place: int) -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    bench.forget()
    bench.subscription(topics_nobody_knows(far)[place])
    assert bench.effects == [] and not far.link.seen and bench.count("handshake.unknown_topic") == 1


@pytest.mark.parametrize("topic", [b"", b"D", b"E", b"E\x07", b"L", b"L" + bytes(23), b"L" + bytes(25)])
def test_other_topics_mean_nothing(topic: bytes) -> None:
    bench = PeerBench()
    neighbour(bench, 2)
    bench.forget()
    bench.subscription(topic)
    assert bench.effects == []


def test_a_link_up_of_another_nonce_is_counted_and_ignored() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.subscribes()
    far.gossip(link_topic(bench.engine.me.id, far.nonce) + CODEC.encode(LinkUp(b"no nonce")))
    assert not far.link.heard and bench.count("handshake.stale_link_up") == 1 and bench.events(NeighbourUp) == []


def test_something_else_on_the_link_topic_is_refused() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.gossip(link_topic(bench.engine.me.id, far.nonce) + CODEC.encode(UnknownLink(far.nonce, peer(2).id)))
    assert not far.link.heard and bench.count("refused.unexpected") == 1


# -- links that fail ------------------------------------------------------------------------------------------------------


def test_a_link_that_does_not_come_up_in_time_is_given_up_with_a_bye() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.welcome()
    bench.wait(DEFAULT.link_timeout_s - 0.001)
    assert len(bench.engine.view) == 1
    bench.wait(0.001)
    assert len(bench.engine.view) == 0 and bench.keys_of(peer(2).endpoint) == []
    assert [bye.link for _, bye in bench.sent(Bye)] == [far.nonce]
    assert bench.events(NeighbourDown) == [], "it never was a neighbour"


def test_who_is_dialled_gives_the_link_up_too_when_it_does_not_come_up_in_time() -> None:
    bench = PeerBench()
    far = Far(bench, peer(2))
    far.hello()
    far.connects()
    bench.wait(DEFAULT.link_timeout_s - 0.001)
    assert len(bench.engine.view) == 1
    bench.wait(0.001)
    assert len(bench.engine.view) == 0 and [bye.link for _, bye in bench.sent(Bye)] == [far.nonce]


def test_who_was_away_gives_links_that_are_coming_up_their_whole_time_again() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    bench.sleep(DEFAULT.link_timeout_s + 10.0)
    assert len(bench.engine.view) == 1
    far.welcome()
    bench.wait(DEFAULT.link_timeout_s)
    assert len(bench.engine.view) == 0


def test_a_link_that_is_up_has_no_time_limit() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2)).comes_up()
    bench.wait(DEFAULT.link_timeout_s)
    assert far.link.state is LinkState.UP


def test_a_bye_ends_the_link_and_is_not_answered_with_another() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.asks(Bye(far.link.mine, "enough"))
    assert bench.events(NeighbourDown) == [NeighbourDown(peer(2), "given up by the neighbour: enough")]
    assert bench.sent(Bye) == [] and bench.open == {} and bench.state_of(peer(2)) is PeerState.ALIVE


def test_a_bye_with_an_unknown_nonce_means_nothing() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.asks(Bye(b"no nonce", "enough"))
    assert far.link.state is LinkState.UP


def test_a_link_that_the_neighbour_does_not_know_is_given_up() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    far.reply(UnknownLink(b"no nonce", peer(2).id))
    assert far.link.state is LinkState.UP, "an answer about another link"
    far.reply(UnknownLink(far.nonce, peer(2).id))
    assert len(bench.engine.view) == 0 and len(bench.events(NeighbourDown)) == 1


def test_a_lost_neighbour_is_replaced_at_once_by_another() -> None:
    bench, _ = dialling(*MANY[:5])
    (spare,) = set(MANY[:5]) - set(dialled(bench))
    lost = dialled(bench)[0]
    bench.disconnect(bench.keys_of(lost.endpoint)[0])
    assert bench.keys_of(spare.endpoint) != [] and bench.keys_of(lost.endpoint) == []


def test_who_has_lost_the_last_link_says_so_and_nobody_else_does() -> None:
    bench = PeerBench()
    first, second = neighbour(bench, 2), neighbour(bench, 3)
    first.asks(Bye(first.link.mine, ""))
    assert bench.events(Isolated) == []
    second.asks(Bye(second.link.mine, ""))
    assert bench.events(Isolated) == [Isolated(2)] and bench.count("links.isolated") == 1


def test_a_peer_whom_nobody_listens_for_is_tried_again_for_ever_with_pauses_that_grow_to_the_limit() -> None:
    bench, _ = dialling(peer(2))
    for _ in range(4000):
        for key in bench.keys_of(peer(2).endpoint):
            bench.disconnect(key)
        bench.wait(0.1)
    times = opened_at(bench, peer(2))
    pauses = [later - at for at, later in pairwise(times)]
    expected = [min(1.0 * 2**failures, 60.0) for failures in range(len(pauses))]
    assert len(pauses) >= 9
    for pause, most in zip(pauses, expected, strict=True):
        assert most / 2 <= pause <= most + 0.1


def test_a_link_that_lasted_ends_the_back_off() -> None:
    bench, _ = dialling(peer(2))
    for _ in range(5):
        bench.disconnect(bench.keys_of(peer(2).endpoint)[0])
        while not bench.keys_of(peer(2).endpoint):
            bench.wait(1.0)
    far = Far(bench, peer(2)).comes_up()
    for _ in range(120):
        bench.wait(1.0)
        far.hello()  # a sign of life
    bench.forget()
    far.asks(Bye(far.link.mine, ""))
    bench.wait(DEFAULT.redial_min_s)
    assert len(opened_at(bench, peer(2))) == 1


def test_a_link_that_flaps_is_made_more_and_more_rarely() -> None:
    bench, _ = dialling(peer(2))
    for _ in range(6):
        far = Far(bench, peer(2)).comes_up()
        far.asks(Bye(far.link.mine, ""))
        for _ in range(600):
            if bench.keys_of(peer(2).endpoint):
                break
            bench.wait(0.1)
    times = opened_at(bench, peer(2))
    assert times[-1] - times[-2] > 4 * DEFAULT.redial_min_s


def test_the_memory_of_failures_is_bounded() -> None:
    bench, seed = dialling(redial_min_s=600.0, redial_max_s=3600.0, members_max=10)
    for number in range(2, 14):
        bench.told(seed, peer(number))
        bench.disconnect(bench.keys_of(peer(number).endpoint)[0])
        bench.told(seed, peer(number), state=PeerState.DEAD)  # makes room in the table of members
    bench.told(seed, peer(2, revision=1), peer(13, revision=1))
    assert bench.keys_of(peer(2).endpoint) != [], "its failure is forgotten"
    assert bench.keys_of(peer(13).endpoint) == [], "this one's is not"


def test_while_one_waits_to_be_tried_again_others_are_dialled() -> None:
    bench, seed = dialling(peer(2), redial_min_s=30.0)
    bench.disconnect(bench.keys_of(peer(2).endpoint)[0])
    bench.told(seed, *MANY[:3])
    assert dialled(bench) == MANY[1:3]


# -- two that dial each other ---------------------------------------------------------------------------------------------


def test_a_crossing_hello_brings_the_newest_record_of_its_sender() -> None:
    bench, _ = dialling(peer(2))
    far = Far(bench, peer(2, revision=3))
    far.connects()
    far.hello()
    far.comes_up()
    assert bench.events(NeighbourUp) == [NeighbourUp(peer(2, revision=3), True)]


@cache
def crossing(luck: int, first: int, second: int) -> tuple[Place, Place]:
    """Two peers that have dialled each other at the same time; what overtook what is chance."""
    mesh = Mesh(luck)
    one, other = mesh.peer(first), mesh.peer(second)
    mesh.introduce(one, other)
    mesh.introduce(other, one)
    mesh.settle()
    return one, other


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_crossing_hellos_end_as_one_link_at_both_ends_whichever_arrives_first(first: int, second: int) -> None:
    for luck in range(60):
        one, other = crossing(luck, first, second)
        (here,), (there,) = one.engine.view.links(), other.engine.view.links()
        assert here.state is there.state is LinkState.UP
        assert (here.mine, here.theirs) == (there.theirs, there.mine)
        for place in (one, other):
            assert len([key for key in place.dealers if place.engine.view.by_key(key)]) == 1
            assert len(place.subs) == 1
            assert [type(event) for event in place.events if isinstance(event, NeighbourUp | NeighbourDown)] == [NeighbourUp]


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_of_two_that_dial_each_other_one_counts_as_the_dialler(first: int, second: int) -> None:
    counted = [
        (luck, here.dialled, there.dialled)
        for luck in range(60)
        for one, other in [crossing(luck, first, second)]
        for here, there in zip(one.engine.view.links(), other.engine.view.links(), strict=True)
    ]
    assert [row for row in counted if row[1] == row[2]] == []


@pytest.mark.parametrize("luck", range(4))
def test_many_that_start_at_once_end_with_symmetric_links_and_enough_of_them(luck: int) -> None:
    mesh = Mesh(luck)
    seeds = [mesh.seed(number) for number in (1, 2, 3)]
    peers = [mesh.peer(number, seeds=seeds) for number in range(1, 16)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(10.0)
    for place in peers:
        links = place.engine.view.links()
        assert all(link.state is LinkState.UP for link in links) and 4 <= len(links) <= DEFAULT.neighbours_max + DEFAULT.neighbours_spare
        assert sorted(key for key in place.dealers if place.engine.view.by_key(key)) == sorted(place.subs) == [link.key for link in links]
        for link in links:
            (other,) = (other for other in peers if other.engine.me.id == link.peer.id)
            back = other.engine.view.by_peer(place.engine.me.id)
            assert back is not None and (back.mine, back.theirs) == (link.theirs, link.mine)


def test_after_a_crash_the_neighbours_find_replacements() -> None:
    mesh = Mesh()
    seed = mesh.seed(1)
    peers = [mesh.peer(number, seeds=[seed]) for number in range(1, 13)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(10.0)
    for place in peers[:4]:
        mesh.crash(place)
    mesh.run(2.0)
    for place in peers[4:]:
        up = list(place.engine.view.up())
        assert len(up) >= 4 and all(link.peer.id > peers[3].engine.me.id for link in up)


# -- somebody else in a neighbour's id ------------------------------------------------------------------------------------


def test_a_hello_in_the_id_of_a_neighbour_from_another_address_is_refused_and_the_link_stands() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    thief = msgspec.structs.replace(peer(2), host="10.66.0.1", revision=1)
    bench.request(Hello(thief, bench.engine.me.id, b"a thief!", ["plain"]), address="10.66.0.1")
    assert [body.why for body in bench.replies(Refused)] == [Why.ADDRESS] and bench.count("hello.address") == 1
    assert far.link.state is LinkState.UP and far.link.peer == peer(2)
    held = bench.engine.members.get(peer(2).id)
    assert held is not None and held.record == peer(2)


def test_links_that_others_begin_are_limited_in_number_a_second() -> None:
    bench = PeerBench()
    bench.join()
    for wait_s, count in ((0.0, 28), (1.0, 14)):  # twice twelve places and two spare ones at once
        bench.wait(wait_s)
        bench.forget()
        for number in range(100, 200):
            far = Far(bench, peer(number))
            far.hello()
            if bench.engine.view.by_peer(peer(number).id) is not None:
                far.asks(Bye(far.link.mine, ""))
        assert len(bench.of(outbox.OPEN)) == len(bench.replies(Welcome)) == count
    assert bench.count("hello.too_many") == 200 - 28 - 14


def test_who_begins_its_link_anew_again_and_again_does_not_keep_others_out() -> None:
    bench = PeerBench()
    bench.join()
    bench.forget()
    for number in range(1_000):
        bench.request(Hello(peer(2), bench.engine.me.id, number.to_bytes(8, "big"), ["plain"]), address=peer(2).host)
    assert len(bench.of(outbox.OPEN)) == 1 and bench.count("hello.too_many") == 999
    assert bench.engine.view.by_peer(peer(2).id) is not None, "the link that stands goes on"
    Far(bench, peer(3)).hello()
    assert bench.engine.view.by_peer(peer(3).id) is not None
    bench.wait(1.0)
    bench.request(Hello(peer(2), bench.engine.me.id, b"restarts", ["plain"]), address=peer(2).host)
    assert len(bench.replies(Welcome)) == 3


def test_gossip_that_gives_a_neighbour_another_address_is_dropped() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    moved = msgspec.structs.replace(peer(2), host="10.66.0.1", revision=1)
    far.gossip(notice_segment(peer(2), 1, Notice(moved, PeerState.ALIVE)))
    held = bench.engine.members.get(peer(2).id)
    assert held is not None and held.record == peer(2) and bench.count("dropped.neighbour_moved") == 1
