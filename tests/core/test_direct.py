"""Direct messages: over which connection they go, each way in which they end, and that each ends once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from tests.core.harness import CODEC, REFUSED, Far, PeerBench, config, deaths_frame, neighbour, notice_segment, peer
from tests.core.mesh import Mesh, Place
from zmqgossip.core import outbox
from zmqgossip.core.backoff import Failure
from zmqgossip.core.codes import Body, Status
from zmqgossip.core.config import DEFAULT, LAN
from zmqgossip.core.direct import SEND_AGAIN_MAX, SEND_AGAIN_S
from zmqgossip.core.errors import InvalidTimeout, PayloadTooLarge, PeerBusy, PeerGone, RequestFailed, Timeout, ZmqGossipError
from zmqgossip.core.events import NeighbourDown
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Answer, Bye, Direct, Hello, Leave, LeaveHeard, UnknownLink, Verdict, WrongCluster, WrongVersion
from zmqgossip.core.outbox import Answered, Outcome, Question
from zmqgossip.core.types import PeerRecord, PeerState, Whom

ANSWERED, HEARD, BUSY, FAILED, GONE, TIMEOUT = Outcome
ME, LINKED, MEMBER, STRANGER = peer(1), peer(2), peer(3), peer(9)
TIMEOUT_S = 5.0
OK = Answer(Status.ANSWERED, b"!")


def asker(**knobs: Any) -> PeerBench:
    """A peer with the neighbour 2, which knows 3 to 8 too and may not dial them."""
    bench = PeerBench(knobs=config(neighbours_dialled=1, **knobs))
    seed = bench.join()
    bench.attended = True
    neighbour(bench, 2)
    waits = {peer(number).id: Failure(peer(number), 1, bench.now + 3600) for number in range(3, 9)}
    bench.engine.overlay._backoff._failures.update(waits)
    bench.told(seed, *[peer(number) for number in range(3, 9)])
    bench.forget()
    return bench


def ask(bench: PeerBench, who: PeerRecord, token: int = 1, *, wants: bool = True, payload: bytes = b"?") -> None:
    bench.call(bench.engine.ask, token, Whom(who.id), payload, wants, TIMEOUT_S)


def sent(bench: PeerBench) -> list[tuple[int, int, Direct]]:
    """Direct messages that went out: key, exchange number and body."""
    decoded = [(key, *CODEC.decode(frame)) for key, frame in bench.of(outbox.REQUEST)]
    return [(key, exchange, body) for key, body, exchange in decoded if isinstance(body, Direct)]


def answers(bench: PeerBench, body: Body, place: int = -1) -> None:
    """The peer that was asked says `body` to the question of that place among those sent."""
    key, exchange, _ = sent(bench)[place]
    bench.call(bench.engine.on_reply, key, CODEC.encode(body, exchange))


def ends(bench: PeerBench) -> list[tuple[int, Outcome]]:
    return [(answered.token, answered.outcome) for (answered,) in bench.of(outbox.ANSWERED)]


def last(bench: PeerBench) -> Answered:
    (found,) = bench.of(outbox.ANSWERED)[-1]
    assert isinstance(found, Answered)
    return found


def errand(bench: PeerBench, who: PeerRecord = MEMBER) -> int:
    """The key of the errand to that peer."""
    (key,) = bench.keys_of(who.endpoint)
    return key


def on_errand(bench: PeerBench) -> int:
    """Asks the member that has no link, over an errand that is connected; its key."""
    ask(bench, MEMBER)
    bench.connect(errand(bench))
    return errand(bench)


def nothing_left(bench: PeerBench) -> bool:
    """No table of direct messages has an entry, and no timer of theirs is set."""
    direct, timers = bench.engine.direct, bench.engine.node.timers
    tables = (direct._asked, direct._lines, direct._errands, direct._requests)
    names = [name for name, _ in timers._deadlines]
    return not any(tables) and direct._waiting_bytes == 0 and not {"question due", "request due", "errand due", "send again"} & set(names)


# -- the way out ----------------------------------------------------------------------------------------------------------


def test_a_question_to_a_neighbour_goes_over_the_link_and_ends_with_its_answer() -> None:
    bench = asker()
    ask(bench, LINKED, payload=b"6 x 7?")
    ((key, _, body),) = sent(bench)
    assert key == bench.link(LINKED).key and not bench.of(outbox.OPEN)
    assert body == Direct(bench.engine.me, LINKED.id, True, TIMEOUT_S, b"6 x 7?")
    answers(bench, Answer(Status.ANSWERED, b"42"))
    assert last(bench) == Answered(1, ANSWERED, b"42", "") and nothing_left(bench)
    assert bench.count("direct.asked") == bench.count("direct.answered") == 1


def test_a_message_that_wants_no_answer_ends_when_it_is_heard() -> None:
    bench = asker()
    ask(bench, LINKED, wants=False)
    assert not sent(bench)[0][2].wants_answer
    answers(bench, Answer(Status.HEARD))
    assert last(bench) == Answered(1, HEARD, b"", "") and nothing_left(bench)


def test_an_answer_over_the_link_is_a_sign_of_life() -> None:
    bench = asker()
    ask(bench, LINKED)
    bench.wait(1.0)
    answers(bench, OK)
    assert bench.link(LINKED).last_heard == bench.now


def test_a_question_to_a_peer_without_a_link_waits_for_a_connection_of_its_own_and_is_sent_once() -> None:
    bench = asker()
    ask(bench, MEMBER)
    ask(bench, MEMBER, 2)
    assert bench.of(outbox.OPEN) == [(errand(bench), MEMBER.endpoint)] and sent(bench) == []
    bench.connect(errand(bench))
    assert [key for key, *_ in sent(bench)] == [errand(bench)] * 2
    answers(bench, OK, 1)
    answers(bench, OK, 0)
    assert ends(bench) == [(2, ANSWERED), (1, ANSWERED)]


def test_a_link_that_is_not_up_or_not_connected_is_not_used() -> None:
    bench = asker()
    bench.disconnect(bench.link(LINKED).key)
    bench.forget()
    ask(bench, LINKED)
    ((key, endpoint),) = bench.of(outbox.OPEN)
    assert endpoint == LINKED.endpoint and key != bench.link(LINKED).key


def test_a_link_that_is_coming_up_is_not_used() -> None:
    bench = asker()
    far = Far(bench, MEMBER)
    far.hello()
    far.connects()
    bench.forget()
    ask(bench, MEMBER)
    ((key, _),) = bench.of(outbox.OPEN)
    assert key != far.key


def test_an_errand_is_kept_for_the_next_question_and_closed_when_none_came() -> None:
    bench = asker()
    key = on_errand(bench)
    answers(bench, OK)
    for token in range(2, 6):
        bench.wait(DEFAULT.errand_idle_s * 0.9)
        ask(bench, MEMBER, token)
        answers(bench, OK)
    assert [opened for opened, _ in bench.of(outbox.OPEN)] == [key] and len(ends(bench)) == 5
    bench.wait(DEFAULT.errand_idle_s - 0.001)
    assert key in bench.open
    bench.wait(0.001)
    assert key not in bench.open and nothing_left(bench)


def test_an_errand_is_not_closed_while_a_question_is_open() -> None:
    bench = asker(errand_idle_s=0.5)
    key = on_errand(bench)
    answers(bench, OK)
    ask(bench, MEMBER, 2)
    bench.wait(3.0)
    assert key in bench.open
    answers(bench, OK)
    bench.wait(0.5)
    assert ends(bench) == [(1, ANSWERED), (2, ANSWERED)] and nothing_left(bench)


def test_who_asks_itself_is_asked_as_any_other() -> None:
    bench = asker()
    bench.engine.direct.refusal = None
    ask(bench, ME)
    ((question,),) = bench.of(outbox.ASKED)
    assert question[1:] == (bench.engine.me, b"?", True, TIMEOUT_S) and ends(bench) == []
    bench.call(bench.engine.answer, question.token, Status.ANSWERED, b"!", "")
    ask(bench, ME, 2, wants=False)
    assert ends(bench) == [(1, ANSWERED), (2, HEARD)] and sent(bench) == [] and nothing_left(bench)


def test_who_asks_itself_and_does_not_answer_waits_as_for_any_other() -> None:
    bench = asker()
    ask(bench, ME)
    assert ends(bench) == [(1, FAILED)], "nobody takes it"
    bench.engine.direct.refusal = None
    ask(bench, ME, 2)
    bench.wait(TIMEOUT_S)
    assert ends(bench)[1:] == [(2, TIMEOUT)] and nothing_left(bench)


# -- the ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [LINKED, MEMBER], ids=["link", "errand"])
@pytest.mark.parametrize(
    ("wants", "said", "told"),
    [
        (True, Answer(Status.ANSWERED, b"42"), (ANSWERED, b"42", "")),
        (True, Answer(Status.BUSY), (BUSY, b"", "it has no room for more questions")),
        (True, Answer(Status.FAILED, b"", "no such row"), (FAILED, b"", "no such row")),
        (True, Answer(Status.FAILED), (FAILED, b"", "it does not say why")),
        (True, Answer(Status.NOT_ME), (GONE, b"", "somebody else lives at its address")),
        (True, Answer(Status.HEARD), (FAILED, b"", "it answered something else than was asked")),
        (False, Answer(Status.HEARD), (HEARD, b"", "")),
        (False, Answer(Status.BUSY), (BUSY, b"", "it has no room for more questions")),
        (False, Answer(Status.FAILED, b"", "no"), (FAILED, b"", "no")),
        (False, Answer(Status.NOT_ME), (GONE, b"", "somebody else lives at its address")),
        (False, OK, (FAILED, b"", "it answered something else than was asked")),
    ],
    ids=lambda value: value.status.name if isinstance(value, Answer) else "",
)
def test_what_the_peer_says_is_the_end(who: PeerRecord, wants: bool, said: Answer, told: tuple[Outcome, bytes, str]) -> None:
    bench = asker()
    ask(bench, who, wants=wants)
    if who is MEMBER:
        bench.connect(errand(bench))
    answers(bench, said)
    assert last(bench) == (1, *told)
    answers(bench, said)
    bench.wait(TIMEOUT_S)
    assert (
        len(ends(bench)) == 1 and bench.count("direct.late_answer" if who is LINKED else "dropped.link_gone") <= 1 and nothing_left(bench)
    )


def test_nobody_is_asked_who_is_known_to_be_gone() -> None:
    bench = asker()
    bench.gossip(bench.link(LINKED).key, notice_segment(peer(4), 1, Notice(peer(4), PeerState.LEFT)))
    bench.gossip(bench.link(LINKED).key, deaths_frame(peer(5)))
    bench.forget()
    for token, who in enumerate([STRANGER, peer(4), peer(5)]):
        ask(bench, who, token)
    whys = ["nobody of that id is known here", "it has left", "it was found dead"]
    assert [answered for (answered,) in bench.of(outbox.ANSWERED)] == [(token, GONE, b"", why) for token, why in enumerate(whys)]
    assert len(bench.effects) == 3 and nothing_left(bench)


def connection_drops(bench: PeerBench, key: int) -> None:
    bench.disconnect(key)


def found_dead(bench: PeerBench, _: int) -> None:
    """Somebody else saw the member without a link die."""
    bench.gossip(bench.link(LINKED).key, deaths_frame(MEMBER))


def leaves(bench: PeerBench, _: int) -> None:
    bench.gossip(bench.link(LINKED).key, notice_segment(MEMBER, 1, Notice(MEMBER, PeerState.LEFT)))


def this_one_leaves(bench: PeerBench, _: int) -> None:
    bench.call(bench.engine.leave)


def no_socket(bench: PeerBench, key: int) -> None:
    bench.open.pop(key)
    bench.call(bench.engine.on_not_opened, key)


def another_cluster(bench: PeerBench, key: int) -> None:
    bench.reply(key, WrongCluster())


def another_version(bench: PeerBench, key: int) -> None:
    bench.reply(key, WrongVersion(2, 0))


def time_passes(bench: PeerBench, _: int) -> None:
    bench.wait(TIMEOUT_S)


ERRAND_FAULTS = [
    (connection_drops, GONE), (found_dead, GONE), (leaves, GONE), (this_one_leaves, GONE), (time_passes, TIMEOUT),
]  # fmt: skip


def fault_name(value: Any) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("fault", "outcome"), [*ERRAND_FAULTS, (no_socket, BUSY)], ids=fault_name)
def test_a_fault_before_an_errand_is_connected_ends_all_that_waits_for_it(fault: Callable[..., None], outcome: Outcome) -> None:
    bench = asker()
    ask(bench, MEMBER)
    ask(bench, MEMBER, 2)
    key = errand(bench)
    fault(bench, key)
    assert ends(bench) == [(1, outcome), (2, outcome)] and sent(bench) == []
    bench.wait(TIMEOUT_S)
    assert len(ends(bench)) == 2 and key not in bench.open and nothing_left(bench)


@pytest.mark.parametrize(("fault", "outcome"), [*ERRAND_FAULTS, (another_cluster, GONE), (another_version, GONE)], ids=fault_name)
def test_a_fault_while_a_question_is_open_on_an_errand_ends_it_and_it_is_not_sent_again(
    fault: Callable[..., None], outcome: Outcome
) -> None:
    bench = asker()
    key = on_errand(bench)
    fault(bench, key)
    assert ends(bench) == [(1, outcome)]
    bench.wait(TIMEOUT_S)
    assert len(ends(bench)) == 1 and len(sent(bench)) == 1 and key not in bench.open and nothing_left(bench)


@pytest.mark.parametrize(("fault", "_"), ERRAND_FAULTS, ids=fault_name)
def test_a_fault_after_the_answer_tells_nothing_more_and_ends_the_errand(fault: Callable[..., None], _: Outcome) -> None:
    bench = asker()
    key = on_errand(bench)
    answers(bench, OK)
    fault(bench, key)
    assert ends(bench) == [(1, ANSWERED)] and key not in bench.open and nothing_left(bench)


def link_crashes(bench: PeerBench, far: Far) -> None:
    far.crashes()


def link_drops(bench: PeerBench, far: Far) -> None:
    bench.disconnect(far.key)


def neighbour_leaves(bench: PeerBench, far: Far) -> None:
    far.asks(Leave(LINKED, far.link.mine, 0))


def neighbour_leaves_with_more_to_say(bench: PeerBench, far: Far) -> None:
    far.asks(Leave(LINKED, far.link.mine, 99))


def neighbour_gives_up(bench: PeerBench, far: Far) -> None:
    far.asks(Bye(far.link.mine, "no more"))


def neighbour_knows_no_link(bench: PeerBench, far: Far) -> None:
    far.reply(UnknownLink(far.nonce, LINKED.id))


def neighbour_begins_anew(bench: PeerBench, far: Far) -> None:
    bench.now += 1.0  # it may not do so sooner
    far.asks(Hello(LINKED, ME.id, b"another!", ["plain"]))


def link_of_one_that_leaves_itself(bench: PeerBench, far: Far) -> None:
    bench.call(bench.engine.leave)


LINK_FAULTS = [
    link_crashes, link_drops, neighbour_leaves, neighbour_leaves_with_more_to_say, neighbour_gives_up, neighbour_knows_no_link,
    neighbour_begins_anew,
    link_of_one_that_leaves_itself,
]  # fmt: skip


@pytest.mark.parametrize("answered_before", [False, True])
@pytest.mark.parametrize("fault", LINK_FAULTS, ids=fault_name)
def test_when_a_link_ends_so_does_what_is_open_on_it(fault: Callable[[PeerBench, Far], None], answered_before: bool) -> None:
    bench = asker()
    far = Far(bench, LINKED, (2).to_bytes(8, "big"))
    ask(bench, LINKED)
    if answered_before:
        answers(bench, OK)
    fault(bench, far)
    assert ends(bench) == [(1, ANSWERED if answered_before else GONE)]
    bench.wait(TIMEOUT_S)
    assert len(ends(bench)) == 1 and len(sent(bench)) == 1 and nothing_left(bench)


def test_a_neighbour_that_misses_its_probes_is_not_waited_for() -> None:
    bench = asker()
    bench.call(bench.engine.ask, 1, Whom(LINKED.id), b"?", True, 600.0)
    bench.wait(DEFAULT.liveness_interval_s * 2)
    assert ends(bench) == []
    bench.wait(DEFAULT.liveness_interval_s * 2 + DEFAULT.reply_timeout_s)
    assert last(bench) == (1, GONE, b"", "the link with it ended")
    told = [at for at, effect in bench.effects if effect[0] == outbox.ANSWERED]
    assert told == [at for at, effect in bench.effects if effect[0] == outbox.EVENT and isinstance(effect[1], NeighbourDown)]


def test_a_neighbour_whose_ports_refuse_is_waited_for_until_a_seed_has_looked() -> None:
    bench = asker()
    key = bench.link(LINKED).key
    bench.disconnect(key)
    ask(bench, LINKED)
    bench.wait(0.2)
    for _ in range(3):
        bench.knocked(key, REFUSED, REFUSED)
    assert ends(bench) == []
    bench.reply(bench.asked_seeds[0], Verdict(LINKED, PeerState.DEAD))
    assert last(bench) == (1, GONE, b"", "it was found dead") and nothing_left(bench)


def test_what_a_seed_lists_as_gone_is_not_waited_for() -> None:
    bench = asker()
    on_errand(bench)
    bench.told(bench.asked_seeds[0], MEMBER, state=PeerState.LEFT)
    assert last(bench) == (1, GONE, b"", "it has left") and nothing_left(bench)


def test_a_link_that_ends_is_no_matter_of_other_questions() -> None:
    bench = asker()
    bench.engine.direct.refusal = None
    on_errand(bench)
    ask(bench, ME, 2)
    neighbour_gives_up(bench, Far(bench, LINKED))
    assert ends(bench) == []
    answers(bench, OK)
    bench.call(bench.engine.answer, bench.of(outbox.ASKED)[0][0].token, Status.ANSWERED, b"", "")
    assert ends(bench) == [(1, ANSWERED), (2, ANSWERED)]


def test_a_neighbour_that_hangs_is_a_timeout_at_the_askers_deadline_and_its_late_answer_is_counted() -> None:
    bench = asker()
    ask(bench, LINKED)
    bench.wait(TIMEOUT_S - 0.001)
    assert ends(bench) == []
    bench.wait(0.001)
    assert ends(bench) == [(1, TIMEOUT)] and nothing_left(bench)
    answers(bench, OK)
    assert len(ends(bench)) == 1 and bench.count("direct.late_answer") == 1


def test_who_leaves_asks_nobody_any_more() -> None:
    bench = asker()
    bench.call(bench.engine.leave)
    bench.forget()
    ask(bench, LINKED)
    assert last(bench) == (1, GONE, b"", "this peer is leaving") and len(bench.effects) == 1


def test_an_answer_counts_only_for_the_question_and_the_connection_that_it_belongs_to() -> None:
    bench = asker()
    on_errand(bench)
    ask(bench, LINKED, 2)
    (to_member, exchange, _), (to_linked, other, _) = sent(bench)
    assert exchange != other
    for key, number in ((to_linked, exchange), (to_member, other), (to_linked, 0), (to_linked, other + 1)):
        bench.call(bench.engine.on_reply, key, CODEC.encode(OK, number))
    assert ends(bench) == [] and bench.count("direct.late_answer") == 4
    answers(bench, OK, 0)
    answers(bench, OK, 1)
    assert ends(bench) == [(1, ANSWERED), (2, ANSWERED)]


def test_a_number_that_is_open_is_not_given_to_another_question() -> None:
    bench = asker()
    ask(bench, LINKED)
    bench.engine.node.exchange -= 1
    ask(bench, LINKED, 2)
    assert len({exchange for _, exchange, _ in sent(bench)}) == 2


def test_what_is_no_answer_on_an_errand_is_refused_by_name() -> None:
    bench = asker()
    key = on_errand(bench)
    bench.reply(key, LeaveHeard())
    bench.call(bench.engine.on_reply, key, b"nonsense")
    assert bench.count("refused.unexpected") == bench.count("refused.too_short") == 1 and ends(bench) == []
    assert all(refusal.remote == str(MEMBER.endpoint) for refusal in bench.refusals)


# -- limits at the asker --------------------------------------------------------------------------------------------------


def test_what_cannot_be_sent_raises_and_nothing_follows() -> None:
    bench = asker(message_bytes_max=100, direct_timeout_max_s=60.0)
    with pytest.raises(PayloadTooLarge) as caught:
        ask(bench, LINKED, payload=bytes(101))
    assert (caught.value.size, caught.value.size_max) == (101, 100)
    for timeout_s in (0.0, -1.0, 60.1, float("inf"), float("nan")):
        with pytest.raises(InvalidTimeout):
            bench.engine.ask(1, Whom(LINKED.id), b"", True, timeout_s, bench.now)
    bench.drain()
    assert bench.effects == [] and nothing_left(bench)
    ask(bench, LINKED, payload=bytes(100))
    assert len(sent(bench)) == 1


def test_the_largest_payload_that_a_configuration_allows_fits_into_a_frame() -> None:
    bench = asker(message_bytes_max=65_000)
    ask(bench, LINKED, payload=bytes(65_000))
    answers(bench, Answer(Status.ANSWERED, bytes(65_000)))
    assert last(bench).outcome is ANSWERED


def test_more_questions_than_the_limit_are_busy_here() -> None:
    bench = asker(questions_max=3)
    for token in range(1, 5):
        ask(bench, LINKED, token)
    assert ends(bench) == [(4, BUSY)] and last(bench).why == "too many questions of our own are open" and len(sent(bench)) == 3
    answers(bench, OK)
    ask(bench, LINKED, 5)
    assert len(sent(bench)) == 4


def test_more_bytes_than_the_limit_do_not_wait_for_a_connection() -> None:
    bench = asker(questions_bytes_max=3_000)
    for token in range(1, 5):
        ask(bench, MEMBER, token, payload=bytes(1_000))
    assert ends(bench) == [(4, BUSY)]
    bench.connect(errand(bench))
    ask(bench, MEMBER, 5, payload=bytes(1_000))
    assert len(sent(bench)) == 4


def test_the_errand_that_was_used_longest_ago_makes_room() -> None:
    bench = asker(errands_max=2, errand_idle_s=60.0)
    first, second, third = peer(3), peer(4), peer(5)
    for token, who in enumerate([first, second, first]):
        ask(bench, who, token)
        key = errand(bench, who)
        if token < 2:
            bench.connect(key)
        answers(bench, OK)
    ask(bench, third, 3)
    assert bench.keys_of(second.endpoint) == [] and bench.keys_of(first.endpoint) and bench.keys_of(third.endpoint)


def test_with_no_idle_errand_left_the_question_is_busy_here() -> None:
    bench = asker(errands_max=2)
    for token, number in enumerate((3, 4, 5)):
        ask(bench, peer(number), token)
    assert ends(bench) == [(2, BUSY)] and last(bench).why == "too many errands of our own" and bench.count("direct.errands") == 2


def full(bench: PeerBench, *places: int) -> None:
    """The DEALER did not take those of the frames that were sent."""
    effects = len(bench.effects)
    for key, exchange, body in [sent(bench)[place] for place in places]:
        bench.call(bench.engine.on_not_sent, key, CODEC.encode(body, exchange))
    assert len(bench.effects) == effects, "the body is in the middle of an outbox"


def test_a_frame_that_a_full_connection_did_not_take_is_sent_a_moment_later() -> None:
    bench = asker()
    for token in range(SEND_AGAIN_MAX + 8):
        ask(bench, LINKED, token)
    full(bench, *range(SEND_AGAIN_MAX + 8))
    bench.forget()
    ask(bench, LINKED, 99)
    assert sent(bench) == [], "it waits behind the others"
    bench.wait(SEND_AGAIN_S)
    assert len(sent(bench)) == SEND_AGAIN_MAX
    bench.wait(SEND_AGAIN_S)
    assert len(sent(bench)) == SEND_AGAIN_MAX + 9
    assert len({exchange for _, exchange, _ in sent(bench)}) == SEND_AGAIN_MAX + 9
    bench.wait(TIMEOUT_S)
    assert len(ends(bench)) == SEND_AGAIN_MAX + 9 and nothing_left(bench)


def test_a_frame_that_a_full_connection_did_not_take_is_sent_when_an_answer_comes() -> None:
    bench = asker()
    for token in (1, 2, 3):
        ask(bench, LINKED, token)
    full(bench, 1, 2)
    answers(bench, OK, 0)
    assert [body.payload for *_, body in sent(bench)[3:]] == [b"?"] and sent(bench)[3] == sent(bench)[1]


def test_a_frame_that_a_full_connection_did_not_take_is_not_sent_after_its_end() -> None:
    bench = asker()
    ask(bench, LINKED)
    bench.wait(TIMEOUT_S)
    full(bench, 0)
    ask(bench, LINKED, 2)
    full(bench, 1)
    answers(bench, OK, 1)
    assert bench.count("direct.late_answer") == 1, "nobody can answer what was not sent"
    bench.disconnect(bench.link(LINKED).key)
    bench.wait(1.0)
    assert len(sent(bench)) == 2 and ends(bench) == [(1, TIMEOUT), (2, GONE)] and nothing_left(bench)


# -- being asked ----------------------------------------------------------------------------------------------------------


def asked(**knobs: Any) -> PeerBench:
    """A peer whose user takes questions."""
    bench = PeerBench(knobs=config(**knobs))
    bench.engine.direct.refusal = None
    return bench


def asks(bench: PeerBench, *, wants: bool = True, who: PeerRecord = STRANGER, target: PeerRecord = ME, timeout_s: float = 5.0) -> None:
    bench.request(Direct(who, target.id, wants, timeout_s, b"?"), address=STRANGER.host)


def questions(bench: PeerBench) -> list[Question]:
    return [question for (question,) in bench.of(outbox.ASKED)]


def test_a_question_of_somebody_unknown_goes_to_the_user_and_the_users_answer_back() -> None:
    bench = asked()
    asks(bench)
    (question,) = questions(bench)
    assert question[1:] == (STRANGER, b"?", True, 5.0) and bench.replies(Answer) == []
    bench.call(bench.engine.answer, question.token, Status.ANSWERED, b"!", "")
    assert bench.of(outbox.REPLY) == [(b"route", CODEC.encode(OK, 7))] and nothing_left(bench)
    assert bench.engine.members.get(STRANGER.id) is None, "who asks is not believed to be there"


def test_a_message_that_wants_no_answer_is_heard_when_it_is_handed_over() -> None:
    bench = asked()
    asks(bench, wants=False)
    assert questions(bench) == [(0, STRANGER, b"?", False, 5.0)] and bench.replies(Answer) == [Answer(Status.HEARD)] and nothing_left(bench)


def test_a_question_is_answered_once() -> None:
    bench = asked()
    asks(bench)
    (question,) = questions(bench)
    for status in (Status.FAILED, Status.ANSWERED):
        bench.call(bench.engine.answer, question.token, status, b"", "the handler raised")
    bench.call(bench.engine.answer, 12345, Status.ANSWERED, b"", "")
    assert bench.replies(Answer) == [Answer(Status.FAILED, b"", "the handler raised")] and bench.count("requests.answered_late") == 2


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"target": STRANGER}, Answer(Status.NOT_ME)),
        ({"who": peer(8)}, Answer(Status.FAILED, b"", "your record says 10.0.0.8, your connection comes from 10.0.0.9")),
    ],
    ids=["target", "address"],
)
@pytest.mark.parametrize("wants", [False, True])
def test_what_is_not_for_this_peer_or_not_from_where_it_says_is_not_handed_over(change: Any, answer: Answer, wants: bool) -> None:
    bench = asked()
    asks(bench, wants=wants, **change)
    assert bench.replies(Answer) == [answer] and questions(bench) == []


def test_a_network_that_may_be_announced_may_ask() -> None:
    bench = asked(advertise_networks=("10.0.0.8/32",))
    asks(bench, who=peer(8))
    assert len(questions(bench)) == 1


@pytest.mark.parametrize("wants", [False, True])
def test_a_peer_whose_user_takes_nothing_says_so(wants: bool) -> None:
    bench = PeerBench()
    asks(bench, wants=wants)
    bench.engine.direct.refusal = Answer(Status.BUSY)
    asks(bench, wants=wants)
    bench.engine.direct.refusal = None
    bench.call(bench.engine.leave)
    asks(bench, wants=wants)
    texts = [(answer.status, answer.text) for answer in bench.replies(Answer)]
    assert texts == [(Status.FAILED, "nobody takes direct messages here"), (Status.BUSY, ""), (Status.FAILED, "it is leaving")]
    assert questions(bench) == [] and nothing_left(bench)


def test_who_leaves_may_still_answer_what_it_was_asked() -> None:
    bench = asked()
    asks(bench)
    bench.call(bench.engine.leave)
    bench.call(bench.engine.answer, questions(bench)[0].token, Status.ANSWERED, b"!", "")
    assert bench.replies(Answer) == [OK]


def test_more_open_questions_than_the_limit_are_busy_until_one_is_answered() -> None:
    bench = asked(requests_open_max=2)
    for _ in range(3):
        asks(bench)
    asks(bench, wants=False)
    assert bench.replies(Answer) == [Answer(Status.BUSY), Answer(Status.HEARD)] and len(questions(bench)) == 3
    bench.call(bench.engine.answer, questions(bench)[0].token, Status.ANSWERED, b"", "")
    asks(bench)
    assert len(questions(bench)) == 4


@pytest.mark.parametrize(("timeout_s", "kept_s"), [(5.0, 5.0), (1e9, 60.0), (0.0, 0.0)])
def test_a_question_that_nobody_waits_for_any_more_is_forgotten(timeout_s: float, kept_s: float) -> None:
    bench = asked(direct_timeout_max_s=60.0)
    asks(bench, timeout_s=timeout_s)
    (question,) = questions(bench)
    assert question.timeout_s == kept_s
    bench.wait(max(kept_s - 0.001, 0.0))
    assert nothing_left(bench) is (kept_s == 0.0)
    bench.wait(0.001)
    assert nothing_left(bench) and bench.count("requests.unanswered") == 1
    bench.call(bench.engine.answer, question.token, Status.ANSWERED, b"", "")
    assert bench.replies(Answer) == [] and bench.count("requests.answered_late") == 1


def test_an_answer_that_is_too_large_raises_and_another_may_be_given() -> None:
    bench = asked(message_bytes_max=10)
    asks(bench)
    token = questions(bench)[0].token
    with pytest.raises(PayloadTooLarge):
        bench.engine.answer(token, Status.ANSWERED, bytes(11), "", bench.now)
    bench.call(bench.engine.answer, token, Status.FAILED, b"", "the answer is too large")
    assert [answer.status for answer in bench.replies(Answer)] == [Status.FAILED]


def test_whatever_text_an_exception_has_the_failure_is_told() -> None:
    bench = asked()
    asks(bench)
    bench.call(bench.engine.answer, questions(bench)[0].token, Status.FAILED, b"", "\udcff" + "x" * 500)
    (answer,) = bench.replies(Answer)
    assert answer.text == "?" + "x" * 199


# -- engines that talk to each other --------------------------------------------------------------------------------------


def line_of_peers(count: int, luck: int = 1) -> tuple[Mesh, list[Place]]:
    """Peers in a line, each linked with the next, all known to all; everybody's user takes questions."""
    mesh = Mesh(luck)
    places = [mesh.peer(number, knobs=LAN) for number in range(1, count + 1)]
    for place, following in pairwise(places):
        mesh.introduce(place, following)
        mesh.settle()
    for place in places:
        place.engine.direct.refusal = None
        for other in places:
            if other is not place:
                place.engine.members.learn(other.engine.me, PeerState.ALIVE, mesh.now)
    mesh.settle()
    return mesh, places


def tables(place: Place) -> list[int]:
    """How much an engine holds for direct messages, and its timers."""
    direct = place.engine.direct
    held = [len(table) for table in (direct._asked, direct._lines, direct._errands, direct._requests)]
    return [*held, direct._waiting_bytes, len(place.engine.node.timers)]


@pytest.mark.parametrize("over", ["link", "errand"])
def test_ten_thousand_questions_leave_nothing_behind(over: str) -> None:
    mesh, (first, second) = line_of_peers(2)
    asking, who = first.engine, second.engine.me.id
    if over == "errand":
        asking.view.by_peer(who).connected = False
    before = tables(first), tables(second)
    opened = asking.node.last_key
    for token in range(10_000):
        mesh.do(first, "ask", token, Whom(who), b"?", True, 30.0)
        mesh.settle()
        mesh.do(second, "answer", second.asked[-1].token, Status.ANSWERED, b"!", "")
        mesh.settle()
        assert first.answered[-1] == (token, ANSWERED, b"!", "")
    assert len(first.answered) == len(second.asked) == 10_000
    assert len(first.dealers) == (1 if over == "link" else 2) and asking.node.last_key - opened == (over == "errand")
    assert len(asking.node.timers._heap) < 300, "moved and cancelled timers are cleared away"
    mesh.run(LAN.errand_idle_s)
    assert [held[:5] for held in (tables(first), tables(second))] == [held[:5] for held in before]


class Storm:
    """Everybody asks everybody, some answer, and things go wrong at random."""

    def __init__(self, luck: int) -> None:
        self.rng = Random(luck)
        self.mesh, self.places = line_of_peers(5, luck)
        self.tokens: dict[int, tuple[Place, bytes, bool]] = {}
        self.answered: dict[int, int] = {id(place): 0 for place in self.places}
        self.left: list[Place] = []

    def living(self) -> list[Place]:
        return [place for place in self.places if place.alive]

    def ask(self) -> None:
        place = self.rng.choice(self.living())
        token, wants = len(self.tokens), self.rng.random() < 0.7
        payload = b"%d" % token
        self.tokens[token] = place, payload, wants
        target = self.rng.choice(self.places).engine.me.id
        self.mesh.do(place, "ask", token, Whom(target), payload, wants, self.rng.choice((0.3, 1.0, 4.0)))

    def answer(self) -> None:
        place = self.rng.choice(self.living())
        waiting = [question for question in place.asked[self.answered[id(place)] :] if question.wants_answer]
        if not waiting or place.hung:
            return
        self.answered[id(place)] = len(place.asked)
        for question in waiting:
            if self.rng.random() < 0.8:
                status = self.rng.choice((Status.ANSWERED, Status.ANSWERED, Status.FAILED, Status.BUSY))
                self.mesh.do(place, "answer", question.token, status, b"re " + question.payload, "")

    def go_wrong(self) -> None:
        place = self.rng.choice(self.living())
        fault = self.rng.choice(("crash", "hang", "resume", "leave", "drop", "drop"))
        if fault == "hang":
            self.mesh.hang(place)
        elif fault == "resume":
            self.mesh.resume(place)
        elif fault == "drop" and place.dealers:
            self.mesh._disconnect(place, self.rng.choice(list(place.dealers)))
        elif len(self.living()) > 2:
            if fault == "leave" and not place.hung:
                self.mesh.do(place, "leave")
                self.mesh.run(0.05)
                self.left.append(place)
            if fault in ("leave", "crash"):
                self.mesh.crash(place)

    def run(self) -> None:
        for _ in range(120):
            self.rng.choices((self.ask, self.answer, self.go_wrong, lambda: self.mesh.run(0.1)), (6, 4, 1, 2))[0]()
        for place in self.places:
            self.mesh.resume(place)
        self.mesh.run(10.0)


@pytest.mark.parametrize("luck", range(30))
def test_every_question_has_exactly_one_end_whatever_goes_wrong(luck: int) -> None:
    storm = Storm(luck)
    storm.run()
    told = [(place, answered) for place in storm.places for answered in place.answered]
    counts = dict.fromkeys(storm.tokens, 0)
    for place, (token, outcome, payload, why) in told:
        asking, asked_for, wants = storm.tokens[token]
        counts[token] += 1
        assert place is asking and (outcome is not ANSWERED or (wants and payload == b"re " + asked_for))
        assert (outcome is HEARD) <= (not wants) and (outcome in (ANSWERED, HEARD) or why)
    for token, (place, *_) in storm.tokens.items():
        assert counts[token] == 1 or (counts[token] == 0 and not place.alive and place not in storm.left), token
    payloads = [question.payload for place in storm.places for question in place.asked]
    assert len(payloads) == len(set(payloads)), "no question is handed over twice"
    assert all(tables(place)[:5] == [0] * 5 for place in storm.living())
    if luck == 0:
        assert len({outcome for _, (_, outcome, *_) in told}) >= 5


# -- the words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PeerGone(ME.id, "it has left"), "is gone: it has left"),
        (PeerBusy(ME.id, "too many errands of our own"), "took no message: too many errands of our own"),
        (RequestFailed(ME.id, "no such row"), "could not answer: no such row"),
    ],
    ids=fault_name,
)
def test_an_error_names_the_peer_and_says_what_to_do(error: ZmqGossipError, words: str) -> None:
    assert words in str(error) and ME.id.hex() in str(error) and ";" in str(error)
    assert error.peer_id == ME.id  # type: ignore[attr-defined]


def test_a_timeout_is_one_of_pythons_and_says_how_long_and_what_to_do() -> None:
    error = Timeout("peer 00 gave no answer", 5.0, "wait longer")
    assert str(error) == "peer 00 gave no answer within 5 s; wait longer"
    assert isinstance(error, TimeoutError) and error.timeout_s == 5.0
