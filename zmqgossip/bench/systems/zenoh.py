"""zenoh's Python binding: the publisher listens, all receivers connect to it. It waits for a slow receiver instead of dropping."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any

from zmqgossip.bench.ports import free_port
from zmqgossip.bench.systems.station import Station
from zmqgossip.bench.task import Facts

zenoh: Any = import_module("zenoh")  # not a dependency: mypy need not know it
KEY = "bench"
READY = "bench-ready"
LOOK_S = 0.02


class Zenoh(Station):
    """The publisher (`publishes`) or a receiver."""

    def __init__(self, settings: Facts) -> None:
        self._publishes: bool = settings["publishes"]
        self._place: int = settings["place"]
        self._session: Any = None
        self._reader: Any = None
        self._token: Any = None

    def _open(self, what: str, endpoint: str) -> None:
        config = zenoh.Config()
        config.insert_json5("mode", '"peer"')
        config.insert_json5("scouting/multicast/enabled", "false")
        config.insert_json5("listen/endpoints", "[]")
        config.insert_json5(f"{what}/endpoints", json.dumps([endpoint]))
        self._session = zenoh.open(config)

    def open(self, facts: Facts) -> Facts:
        if not self._publishes:
            return {}
        endpoint = f"tcp/127.0.0.1:{free_port()}"
        self._open("listen", endpoint)
        publisher = self._session.declare_publisher(
            KEY, congestion_control=zenoh.CongestionControl.BLOCK, reliability=zenoh.Reliability.RELIABLE
        )
        self.send = publisher.put
        return {"endpoint": endpoint}

    def connect(self, facts: Facts) -> Facts:
        if not self._publishes:
            self._open("connect", facts["opened"][0]["endpoint"])
            self._reader = self._session.declare_subscriber(KEY)
            # Declarations keep their order on the way, so who has seen this one has seen the subscription.
            self._token = self._session.liveliness().declare_token(f"{READY}/{self._place}")
        return {}

    def wait(self, facts: Facts) -> Facts:
        while self._publishes and len(list(self._session.liveliness().get(f"{READY}/*"))) < len(facts["opened"]) - 1:
            time.sleep(LOOK_S)
        return {}

    def payloads(self) -> Iterator[bytes]:
        return map(bytes, map(attrgetter("payload"), self._reader))
