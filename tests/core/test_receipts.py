"""Link receipts: each end of a link gives one, a report carries the accused's, and a seed acts on no other."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.core.harness import EPOCH, TICKET, WALL, Far, PeerBench, SeedBench, config, neighbour, peer, receipt
from tests.core.mesh import Mesh
from zmqgossip.core.codes import Evidence, Why
from zmqgossip.core.config import LAN
from zmqgossip.core.events import DeadReportReceived, FrameRefused, NeighbourReported
from zmqgossip.core.messages import Hello, Receipt, Refused, Report, UnknownLink, Verdict, Welcome
from zmqgossip.core.types import PeerState

ACCUSED, REPORTER = peer(2), peer(3)
DAY_S = 86_400.0
GOOD = receipt(ACCUSED, REPORTER)

# -- at a seed ------------------------------------------------------------------------------------------------------------

MISFITS: dict[str, Receipt | None] = {
    "none": None,
    "another holder": receipt(ACCUSED, peer(4)),
    "another issuer": receipt(peer(4), REPORTER),
    "another life of the issuer": replace(GOOD, issuer_epoch=EPOCH - 1),
    "of the reporter to itself": receipt(REPORTER, REPORTER),
    "made in the future": receipt(ACCUSED, REPORTER, at=WALL + DAY_S + 1),
    "the wrong way round": receipt(REPORTER, ACCUSED),
}


def report(bench: SeedBench, given: Receipt | None) -> None:
    bench.hears(REPORTER, Report(REPORTER.id, ACCUSED, Evidence.MISSES, 3, 31.0, given))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("why", MISFITS)
def test_a_report_without_a_receipt_that_fits_is_refused_counted_and_told_once(why: str, verify: bool) -> None:
    bench = SeedBench(knobs=config(verify=verify))
    bench.enlist(ACCUSED, REPORTER)
    bench.forget()
    for _ in range(3):
        report(bench, MISFITS[why])
    assert bench.told(REPORTER, Verdict) == [Verdict(ACCUSED, PeerState.SUSPECT)] * 3
    assert bench.state_of(ACCUSED) is PeerState.ALIVE and bench.open == {} and bench.events(DeadReportReceived) == []
    assert bench.count("refused.receipt") == 3 and bench.count("reports.received") == 0
    assert bench.refusals == [FrameRefused("10.0.0.3", "receipt", "")]


def test_nobody_reports_itself_with_a_receipt_of_its_own() -> None:
    bench = SeedBench()
    bench.enlist(ACCUSED)
    bench.hears(ACCUSED, Report(ACCUSED.id, ACCUSED, Evidence.MISSES, 3, 31.0, receipt(ACCUSED, ACCUSED)))
    assert bench.count("refused.receipt") == 1 and bench.state_of(ACCUSED) is PeerState.ALIVE


@pytest.mark.parametrize(
    "given", [GOOD, replace(GOOD, holder_epoch=1), replace(GOOD, at=WALL + DAY_S - 1), replace(GOOD, signature=bytes(64))]
)
def test_a_receipt_that_fits_lets_the_seed_look(given: Receipt) -> None:
    bench = SeedBench()
    bench.enlist(ACCUSED, REPORTER)
    report(bench, given)
    assert bench.state_of(ACCUSED) is PeerState.SUSPECT and len(bench.keys_of(ACCUSED.endpoint)) == 1


# -- at a peer ------------------------------------------------------------------------------------------------------------


def test_both_ends_of_a_handshake_give_a_receipt() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    bench.connect(bench.link(peer(2)).key)
    ((_, hello),) = bench.sent(Hello)
    assert hello.receipt == receipt(bench.engine.me, peer(2))
    far = Far(bench, peer(3))
    far.hello()
    (welcome,) = bench.replies(Welcome)
    assert welcome.receipt == receipt(bench.engine.me, peer(3))
    assert far.link.receipt == receipt(peer(3), bench.engine.me)


def test_the_dialler_keeps_the_receipt_of_the_welcome() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    far = Far(bench, peer(2)).comes_up()
    assert far.link.receipt == receipt(peer(2), bench.engine.me)


@pytest.mark.parametrize("how", ["crashes", "is replaced", "is silent"])
def test_a_report_of_a_neighbour_carries_its_receipt(how: str) -> None:
    bench = PeerBench()
    seed = bench.join()
    bench.attended = True
    far = neighbour(bench, 2)
    if how == "crashes":
        far.crashes()
    elif how == "is replaced":
        far.reply(UnknownLink(far.nonce, peer(77).id))
    else:
        bench.wait(60.0)
    ((key, said),) = bench.sent(Report)
    assert key == seed and said.receipt == receipt(peer(2), bench.engine.me)
    assert said.receipt.fits(said.target.id, said.target.epoch, said.reporter)


@pytest.mark.parametrize(
    "given", [receipt(peer(9), peer(1)), receipt(peer(2), peer(9)), receipt(peer(2), peer(1), at=WALL + DAY_S + 1), None]
)
def test_a_neighbour_whose_receipt_no_seed_would_take_is_a_neighbour_all_the_same(given: Receipt | None) -> None:
    bench = PeerBench()
    bench.request(Hello(peer(2), peer(1).id, TICKET, ["plain"], given), address="10.0.0.2")
    assert len(bench.replies(Welcome)) == 1 and bench.link(peer(2)).receipt is None
    assert bench.count("handshake.receipt_misfit") == (given is not None)


def test_who_was_never_met_is_held_dead_and_not_reported() -> None:
    bench = PeerBench()
    bench.join(peer(2))
    far = Far(bench, peer(2))
    far.connects()
    far.reply(Refused(Why.NOT_ME, 0, 0, []))
    assert bench.state_of(peer(2)) is PeerState.DEAD
    assert bench.sent(Report) == [] and bench.events(NeighbourReported) == []
    assert bench.count("dropped.report_without_receipt") == 1


def test_a_newer_life_that_was_never_met_is_not_reported_for_the_one_that_was() -> None:
    bench = PeerBench()
    bench.join()
    bench.attended = True
    far = neighbour(bench, 2)
    bench.told(bench.asked_seeds[0], peer(2, epoch=EPOCH + 5))
    far.crashes()
    ((_, said),) = bench.sent(Report)
    assert said.target == peer(2) and said.receipt == receipt(peer(2), bench.engine.me)
    assert bench.state_of(peer(2)) is PeerState.ALIVE, "the newer one"


# -- together -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("luck", range(5))
def test_in_a_network_that_loses_peers_no_report_is_refused(luck: int) -> None:
    mesh = Mesh(luck)
    seeds = [mesh.seed(number, knobs=LAN) for number in (1, 2)]
    peers = [mesh.peer(number, seeds=seeds, knobs=LAN) for number in range(1, 11)]
    for place in peers:
        mesh.do(place, "start")
    mesh.run(5.0)
    mesh.crash(peers[0])
    mesh.hang(peers[1])
    mesh.run(20.0)
    assert [seed.engine.counters.get("refused.receipt") for seed in seeds] == [0, 0]
    assert all(seed.engine.counters.get("reports.received") > 0 for seed in seeds)
    assert {place.engine.counters.get("dropped.report_without_receipt") for place in peers} == {0}
    assert [len(seed.engine.registry) for seed in seeds] == [8, 8]
