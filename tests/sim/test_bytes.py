"""Engines in the simulator speak in bytes: all that one receives came out of a pipe as bytes and went through the codec that ships."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zmqgossip.core.peer import PeerEngine
from zmqgossip.core.seed import SeedEngine
from zmqgossip.core.wire import LINK_TOPIC_BYTES, TOPIC_DIGEST, TOPIC_LINK, Codec
from zmqgossip.sim import World, checkers, settle

TOPICS = {TOPIC_DIGEST: len(TOPIC_DIGEST), TOPIC_LINK: LINK_TOPIC_BYTES}
"""Bytes of a frame that stand before what the codec is given."""


class Meter:
    """Counts bytes of frames that engines were given, and of what their codecs decoded of each first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received = self.topics = self.decoded = 0
        self.waits = False
        for engine, names in ((PeerEngine, ("on_request", "on_reply", "on_gossip")), (SeedEngine, ("on_request", "on_reply"))):
            for name in names:
                monkeypatch.setattr(engine, name, self._input(getattr(engine, name)))
        for name in ("decode", "decode_segment"):
            monkeypatch.setattr(Codec, name, self._decoding(getattr(Codec, name)))

    def _input(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(engine: Any, sender: Any, frame: bytes, *rest: Any) -> Any:
            assert type(frame) is bytes
            self.received += len(frame)
            self.topics += TOPICS.get(frame[:1], 0) if call.__name__ == "on_gossip" else 0
            self.waits = True
            try:
                return call(engine, sender, frame, *rest)
            finally:
                self.waits = False

        return counted

    def _decoding(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(codec: Codec, frame: bytes) -> Any:
            if self.waits:
                self.waits = False
                self.decoded += len(frame)
            return call(codec, frame)

        return counted


def sent_bytes(world: World) -> int:
    return sum(size for _, size in world.network.traffic.values())


def test_every_byte_that_engines_receive_was_in_a_pipe_and_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(monkeypatch)
    world = World(seed=1)
    settle(world, 20, periodic=False)
    for body in world.peers:
        world.publish_batch(body.name, [("t", body.name.encode()), ("u", bytes(1000))])
    world.run(15)
    world.check(*checkers.ALL)
    assert meter.received > 20 * 19 * 1000
    assert meter.received == sent_bytes(world)
    assert meter.decoded + meter.topics == meter.received


def test_so_it_is_while_peers_join_die_and_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way at the end was sent and not received; what comes on a link that is gone is received and not decoded."""
    meter = Meter(monkeypatch)
    world = World(seed=2)
    world.add_peers(8, every_s=0.1)
    world.run(4)
    world.publish("p1", "t", bytes(500))
    world.crash("p2")
    world.leave("p3")
    world.restart("p4")
    world.run(6)
    world.check(*checkers.ALL)
    assert 0.99 * meter.received < meter.decoded + meter.topics <= meter.received
    assert 0.97 * sent_bytes(world) < meter.received <= sent_bytes(world)
