"""Wear: what many starts leave behind, what an idle peer costs, and whether the first message of many newcomers arrives."""

from __future__ import annotations

import gc
import os
import threading
import time
import tracemalloc

import pytest

from tests.handle.network import SOON_S, Network
from tests.support import wait_for
from zmqgossip import Peer

pytestmark = pytest.mark.sockets
CYCLES = 15
ROUNDS = 8
BURST = 20
IDLE_S = 1.0


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_starts_and_ends_leave_no_thread_no_descriptor_and_no_memory(network: Network) -> None:
    def cycle() -> None:
        with network.peer() as peer:
            peer.on("cycle")(lambda message: None)
            peer.subscribe("cycle")
            peer.ready(SOON_S)
            peer.publish("cycle", b"")

    for _ in range(3):
        cycle()
    ids = {peer.id for peer in network.peers}
    wait_for(
        lambda: all({other.id for other in peer.neighbours()} == ids - {peer.id} for peer in network.peers), what="the links that stay"
    )
    threads, before = threading.active_count(), descriptors()
    gc.collect()
    tracemalloc.start()
    try:
        cycle()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        for _ in range(CYCLES):
            cycle()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    wait_for(lambda: threading.active_count() <= threads and descriptors() <= before, what="no thread and no descriptor more")
    assert grown < CYCLES * 20_000, "three peers and a seed remember each of them, and nothing else does"


def test_an_idle_peer_does_nothing(network: Network, peer: Peer) -> None:
    peer.on("idle")(lambda message: None)
    with peer.subscribe() as feed:
        reader = threading.Thread(target=list, args=(feed,), name="zmqgossip reader")
        reader.start()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("zmqgossip")]
        assert len(threads) >= 6, "four peers, a seed, the reader"
        clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads if thread.ident is not None]
        before = [time.clock_gettime(clock) for clock in clocks]
        threading.Event().wait(IDLE_S)
        spent = [time.clock_gettime(clock) - at for clock, at in zip(clocks, before, strict=True)]
        feed.close()
        reader.join(SOON_S)
    assert max(spent) < 0.05 * IDLE_S


@pytest.mark.parametrize("profile", ["lan", "default"])
def test_what_a_newcomer_publishes_as_soon_as_it_is_ready_reaches_all_who_were_ready(profile: str) -> None:
    with Network(peers=6, profile=profile) as network:
        feeds = [peer.subscribe("fresh.*") for peer in network.peers]
        for number in range(ROUNDS // 2):
            with network.peer() as fresh:
                fresh.ready(SOON_S)
                for burst in range(BURST):
                    fresh.publish(f"fresh.{number}", b"%d" % burst)
                for feed in feeds:
                    messages = [feed.get(SOON_S) for _ in range(BURST)]
                    # Sorted: while its links come up, the later ones of a burst may take the shorter way.
                    assert sorted((message.topic, int(message.payload)) for message in messages) == [
                        (f"fresh.{number}", burst) for burst in range(BURST)
                    ]
