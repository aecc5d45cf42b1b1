"""What a seed's user is told of clients, and that a flood of refusals is no flood of lines."""

from __future__ import annotations

from tests.core.harness import REFUSED, TICKET, PeerBench, SeedBench, config, members, neighbour, peer, receipt, seed_at, ticket_of
from zmqgossip.core.codes import Evidence, Why
from zmqgossip.core.events import (
    Connected,
    DeadReportReceived,
    PeerListed,
    PeerNotListed,
    ProbeReceived,
    RegistrationReceived,
    RegistrationRefused,
    RemoteLimited,
)
from zmqgossip.core.messages import Leave, NotListed, Probe, Register, Registered, Reply, Report
from zmqgossip.core.telling import CONNECTIONS, LINES_MAX, LINES_PER_S
from zmqgossip.core.types import Endpoint

BURST = LINES_MAX
FAR_AHEAD = 10**15


def register(bench: SeedBench, number: int, *, route: bytes, address: str = "10.0.99.9") -> None:
    bench.request(Register(peer(number), TICKET), address=address, route=route)


def test_a_refusal_is_told_once_for_a_peer_however_often_it_comes_back() -> None:
    bench = SeedBench()
    for attempt in range(20):
        register(bench, 2, route=b"%d" % attempt)
    assert [event.why for event in bench.events(PeerNotListed)] == [Why.ADDRESS] and bench.count("registrations.address") == 20
    bench.request(Register(peer(2, epoch=FAR_AHEAD), TICKET), address="10.0.0.2")
    assert [event.why for event in bench.events(PeerNotListed)] == [Why.ADDRESS, Why.EPOCH], "another reason is news"


def test_a_refusal_is_told_once_for_a_connection_whoever_it_speaks_for() -> None:
    bench = SeedBench()
    for number in range(2, 102):
        register(bench, number, route=b"the liar")
    assert len(bench.events(PeerNotListed)) == 1 and bench.count("registrations.address") == 100
    register(bench, 200, route=b"another")
    assert len(bench.events(PeerNotListed)) == 2


def test_after_a_peer_was_listed_a_refusal_is_news_again() -> None:
    bench = SeedBench()
    for revision in (0, 1):
        record = peer(2, revision=revision)
        bench.forget()
        bench.hears(record, Register(record, ticket_of(record)))
        for _ in range(3):
            bench.disconnect(bench.visit(record))
            bench.knocked(bench.knocks[-1][0], REFUSED)
            bench.wait(0.3)
        assert [event.why for event in bench.events(PeerNotListed)] == [Why.UNREACHABLE]
        bench.enlist(record)
        bench.hears(record, Leave(record, ticket_of(record), 0))


def test_of_a_client_that_floods_a_seed_the_beginning_is_told_and_that_it_floods() -> None:
    bench = SeedBench()
    for number in range(2, 302):
        register(bench, number, route=b"the liar")
    assert len(bench.events(RegistrationReceived)) + len(bench.events(PeerNotListed)) == BURST
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.99.9", "lines")]
    assert bench.count("registrations.received") == 300 and bench.count("limited.lines") == 301 - BURST
    bench.hears(peer(2), Register(peer(2), ticket_of(peer(2))))
    assert bench.events(RegistrationReceived)[-1].address == "10.0.0.2", "nobody else is silenced"
    bench.wait(10.0)
    before = len(bench.events(RegistrationReceived))
    for number in range(302, 402):
        register(bench, number, route=b"the liar")
    assert len(bench.events(RegistrationReceived)) == before + int(10 * (LINES_PER_S + 2 / 13)) and len(bench.events(RemoteLimited)) == 1


def test_reports_that_flood_are_not_all_told() -> None:
    bench = SeedBench()
    for number in range(300):
        target = peer(1000 + number)
        bench.hears(peer(3), Report(peer(3).id, target, Evidence.MISSES, 3, 31.0, receipt(target, peer(3))))
    assert len(bench.events(DeadReportReceived)) == BURST and bench.count("reports.received") == 300


def test_connections_from_one_address_are_told_until_they_are_a_flood() -> None:
    bench = SeedBench()
    for _ in range(int(CONNECTIONS.messages) + 50):
        bench.call(bench.engine.on_client, "10.0.99.9")
    bench.call(bench.engine.on_client, "10.0.0.2")
    told = bench.events(Connected)
    assert len(told) == CONNECTIONS.messages + 1 and told[-1] == Connected("10.0.0.2")
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.99.9", "lines")]
    assert bench.count("connections.let_in") == CONNECTIONS.messages + 51


def test_300_honest_clients_are_all_told() -> None:
    bench = SeedBench(knobs=config(dials_per_s=1000))
    bench.enlist(*[peer(number) for number in range(2, 302)])
    assert len(bench.events(RegistrationReceived)) == len(bench.events(PeerListed)) == 300 and bench.count("limited.lines") == 0


def test_a_neighbour_that_probes_at_wire_speed_is_answered_and_not_shown_each_time() -> None:
    bench = PeerBench()
    far = neighbour(bench, 2)
    for number in range(300):
        far.asks(Probe(float(number), 5000, far.link.mine, bytes(8)))
    assert len(bench.replies(Reply)) == 300 and len(bench.events(ProbeReceived)) == BURST
    assert bench.events(RemoteLimited) == [RemoteLimited("10.0.0.2:5000", "lines")]


def test_every_probe_at_the_shortest_interval_is_shown() -> None:
    bench = PeerBench(knobs=config(liveness_interval_s=0.1, reply_timeout_s=0.05, misses_max=100))
    far = neighbour(bench, 2)
    for number in range(300):
        far.asks(Probe(float(number), 5000, far.link.mine, bytes(8)))
        bench.now += 0.1
    assert len(bench.events(ProbeReceived)) == 300


def test_a_peer_is_told_once_that_a_seed_does_not_list_it_until_that_changes() -> None:
    bench = PeerBench()
    bench.start()
    (key,) = bench.asked_seeds
    bench.connect(key)
    refusals = [NotListed(Why.UNREACHABLE, "10.0.0.1", 5000, "no answer in time")] * 3 + [NotListed(Why.BUSY, "10.0.0.1", 5000, "busy")] * 2
    for refusal in refusals:
        bench.reply(key, refusal)
    assert [event.why for event in bench.events(RegistrationRefused)] == [Why.UNREACHABLE, Why.BUSY]
    assert bench.count("registrations.refused") == 5
    bench.reply(key, Registered(True, 0, members([])))
    bench.reply(key, refusals[-1])
    assert bench.events(RegistrationRefused)[-1] == RegistrationRefused(seed_at(1), Why.BUSY, Endpoint("10.0.0.1", 5000), "busy")
    assert len(bench.events(RegistrationRefused)) == 3
