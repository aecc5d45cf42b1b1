"""Ghosts: who is held alive though nobody vouches for them is visited, and found to live or to be dead."""

from __future__ import annotations

from tests.core.harness import PeerBench, config, members, neighbour, notice_segment, peer
from tests.core.streaming import ORIGIN, begun, entry, says
from tests.core.test_members import ALIVE, DEAD
from zmqgossip.core import outbox
from zmqgossip.core.deaths import GATHER_S
from zmqgossip.core.gossip_messages import Notice
from zmqgossip.core.messages import Check, Checked, List, Listed, Present
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.view import LinkState

GHOST = peer(50)
INTERVAL_S = 13.0
LEASE_S = 52.0


def haunted(*ghosts: PeerRecord) -> PeerBench:
    """A peer with a neighbour and a seed that lists nobody else, and that holds those alive."""
    bench, _ = begun(2)
    for ghost in ghosts or (GHOST,):
        hears_of(bench, ghost)
    return bench


def hears_of(bench: PeerBench, record: PeerRecord) -> None:
    bench.call(lambda now: bench.engine.members.learn(record, ALIVE, 0.0))


def visits(bench: PeerBench, *whom: PeerRecord) -> list[int]:
    """Keys of the visits under way to those, links that are dialled left aside."""
    keys = [key for record in whom or (GHOST,) for key in bench.keys_of(record.endpoint)]
    return [key for key in keys if bench.engine.view.by_key(key) is None]


def told_dead(bench: PeerBench) -> list[PeerRecord]:
    """Of whom it has told everybody that they are dead, a moment later."""
    neighbour(bench, 90)
    bench.wait(GATHER_S)
    return bench.deaths


def wait_for_visit(bench: PeerBench, *whom: PeerRecord) -> int:
    """The key of the next visit."""
    for _ in range(1000):
        bench.wait(0.2)
        if keys := visits(bench, *whom):
            return keys[0]
    raise AssertionError("nobody is visited")


def answers(bench: PeerBench, key: int, who: PeerRecord) -> None:
    """Somebody answers a visit."""
    bench.connect(key)
    check = next(body for at, body in reversed(bench.sent(Check)) if at == key)
    bench.reply(key, Checked(who, check.nonce, False))


def test_who_is_vouched_for_by_nobody_and_does_not_answer_three_visits_is_dead_and_all_are_told() -> None:
    bench = haunted()
    since = bench.now
    for _ in range(2):
        wait_for_visit(bench)
        bench.wait(2.0)
        assert bench.state_of(GHOST) is ALIVE and not visits(bench)
    assert bench.now - since > LEASE_S
    wait_for_visit(bench)
    assert bench.notices == []
    bench.wait(2.0)
    assert bench.state_of(GHOST) is DEAD and told_dead(bench) == [GHOST]
    bench.forget()
    bench.wait(3 * LEASE_S)
    assert GHOST.endpoint not in [endpoint for _, endpoint in bench.of(outbox.OPEN)]


def test_who_is_learnt_by_a_walk_is_visited_when_a_lease_has_brought_no_word_of_it_and_not_before() -> None:
    bench, _ = begun(2)
    bench.wait(3 * LEASE_S)
    since, newcomer = bench.now, peer(60)
    bench.call(lambda now: bench.engine.hearsay.on_table(members([newcomer]), now))
    assert bench.state_of(newcomer) is ALIVE
    wait_for_visit(bench, newcomer)
    assert bench.now - since > LEASE_S


def test_refused_connects_count_as_no_answer() -> None:
    bench = haunted()
    for _ in range(3):
        assert bench.state_of(GHOST) is ALIVE
        bench.disconnect(wait_for_visit(bench))
    assert bench.state_of(GHOST) is DEAD


def test_who_answers_lives_and_is_left_alone_for_a_lease() -> None:
    bench = haunted()
    for _ in range(2):
        wait_for_visit(bench)
        bench.wait(2.0)
    answers(bench, wait_for_visit(bench), GHOST)
    for _ in range(100):
        assert not visits(bench)
        bench.wait(LEASE_S / 100)
    for _ in range(2):
        wait_for_visit(bench)
        bench.wait(2.0)
    assert bench.state_of(GHOST) is ALIVE, "it is three visits running that count"


def test_a_newer_record_that_is_learnt_by_a_visit_counts() -> None:
    bench = haunted()
    newer = peer(50, revision=3, ready=True)
    answers(bench, wait_for_visit(bench), newer)
    held = bench.engine.members.get(GHOST.id)
    assert held is not None and held.record == newer


def test_a_later_life_at_its_address_takes_its_place() -> None:
    bench = haunted()
    later = peer(50, epoch=GHOST.epoch + 5)
    answers(bench, wait_for_visit(bench), later)
    held = bench.engine.members.get(GHOST.id)
    assert held is not None and held.record == later and held.state is ALIVE and bench.notices == []


def test_somebody_else_at_its_address_proves_at_once_that_it_is_dead() -> None:
    bench = haunted()
    other = PeerRecord(peer(51).id, GHOST.epoch, 0, GHOST.host, GHOST.port, GHOST.publish, True)
    answers(bench, wait_for_visit(bench), other)
    assert bench.state_of(GHOST) is DEAD and told_dead(bench) == [GHOST]


def test_who_is_listed_by_a_seed_or_speaks_is_not_visited() -> None:
    bench, (far,) = begun(2)
    (seed,) = bench.asked_seeds
    listed, speaker = peer(50), peer(51)
    hears_of(bench, speaker)
    for number in range(1, 9):
        bench.told(seed, listed)
        revised = peer(51, revision=number)
        far.gossip(notice_segment(revised, number, Notice(revised, ALIVE)))
        bench.wait(LEASE_S / 2)
    assert bench.count("visits.made") == 0


def test_who_does_not_answer_is_asked_for_at_the_seeds_and_spared_when_one_lists_it() -> None:
    bench = haunted()
    (seed,) = bench.asked_seeds
    for _ in range(2):
        wait_for_visit(bench)
        bench.forget()
        bench.wait(1.5)
        (question,) = [body for key, body in bench.sent(List) if key == seed and body.limit == 1]
        assert question.after < GHOST.id and int.from_bytes(GHOST.id, "big") - int.from_bytes(question.after, "big") == 1
    bench.reply(seed, Listed(70, True, members([GHOST])))
    bench.wait(LEASE_S)
    assert bench.state_of(GHOST) is ALIVE and not visits(bench)


def test_of_a_thousand_one_is_visited_in_a_presence_interval_and_not_the_same_by_everybody() -> None:
    ghosts = [peer(number) for number in range(1000, 2000)]
    firsts = []
    for luck in range(3):
        bench = PeerBench(luck=luck, knobs=config(neighbours_dialled=1))
        bench.attended = True
        seed = bench.join()
        for ghost in ghosts:
            hears_of(bench, ghost)
        bench.wait(LEASE_S)
        key = wait_for_visit(bench, *ghosts)
        firsts.append(bench.open[key])
        for _ in range(50):
            bench.wait(INTERVAL_S / 10)
            bench.told(seed)
        assert 3 <= bench.count("visits.made") <= 8
    assert len(set(firsts)) == 3


def test_who_is_answered_by_no_seed_visits_nobody() -> None:
    bench = haunted()
    bench.attended = False
    bench.wait(4 * LEASE_S)
    assert bench.count("visits.made") == 0 and bench.state_of(GHOST) is ALIVE


def test_neighbours_are_left_to_their_probes() -> None:
    bench, (far,) = begun(2)
    for _ in range(20):
        says(far, entry(ORIGIN, 1))
        bench.wait(LEASE_S / 5)
    assert far.link.state is LinkState.UP and bench.count("visits.made") == 0


def test_a_part_of_all_visits_none_of_its_candidates() -> None:
    bench, _ = begun(2)
    (seed,) = bench.asked_seeds
    for start in range(100, 200, 10):
        bench.reply(seed, Present(10_000, members([peer(number) for number in range(start, start + 10)])))
        assert bench.engine.members.partial and bench.engine.members.candidates_count > 5
        bench.wait(LEASE_S / 2)
    assert bench.count("visits.made") == 0


def test_a_visit_for_which_there_is_no_socket_proves_nothing() -> None:
    bench = haunted()
    for _ in range(5):
        key = wait_for_visit(bench)
        bench.open.pop(key)
        bench.call(bench.engine.on_not_opened, key)
    assert bench.state_of(GHOST) is ALIVE


def test_a_peer_that_was_away_itself_gives_its_visit_the_whole_time_again() -> None:
    bench = haunted()
    for _ in range(2):
        wait_for_visit(bench)
        bench.wait(2.0)
    key = wait_for_visit(bench)
    bench.sleep(60.0)
    assert visits(bench) == [key] and bench.state_of(GHOST) is ALIVE
    answers(bench, key, GHOST)
    assert bench.state_of(GHOST) is ALIVE
