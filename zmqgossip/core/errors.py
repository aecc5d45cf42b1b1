"""Everything this package raises on purpose.

A caller's misuse raises a typed error whose fields can be read by a program. `WireError` is different: it is how the codec tells
the engine that a remote's bytes are refused, and it never leaves `core`.
"""

from __future__ import annotations

import math


class ZmqGossipError(Exception):
    """The root of all errors that this package raises on purpose.

    Attributes:
        published_count: messages that `publish_many` had published when it raised this.
    """

    published_count = 0


class ConfigError(ZmqGossipError):
    """A setting is missing, unknown or out of range.

    Attributes:
        path: where the setting stands, as `seeds[0].port`; empty when the whole document is meant.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class PortInUse(ZmqGossipError):
    """A socket could not be bound because somebody else holds the port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is taken by another process; choose another, or 0 for any free one")
        self.host = host
        self.port = port


class CannotBind(ZmqGossipError):
    """A socket could not be bound for another reason than a taken port."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}; choose an address of this machine")
        self.host = host
        self.port = port
        self.why = why


class CannotWrite(ZmqGossipError):
    """A file could not be opened for appending."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot write {path}: {why}; choose another directory with --log-dir")
        self.path = path
        self.why = why


class PayloadTooLarge(ZmqGossipError):
    """A payload has more bytes than one message may carry: `message_bytes_max`, a knob.

    Attributes:
        size: bytes of the payload.
        size_max: bytes that would have been accepted.
    """

    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(f"the message has {size} bytes, at most {size_max} fit; send it in parts")
        self.size = size
        self.size_max = size_max


class WouldBlock(ZmqGossipError):
    """The queue of what is to be published is full, and whoever publishes here must not wait for room in it.

    Attributes:
        why: what forbids the waiting.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the message was not taken: too much waits to be published, and {why}")
        self.why = why


class InvalidTopic(ZmqGossipError):
    """A topic that no receiver would accept."""

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"topic {topic[:40]!r} cannot be sent: {why}")
        self.topic = topic
        self.why = why


class PeerGone(ZmqGossipError):
    """A direct message had no taker, or lost the one it had: whether it was read is not known then. It is not sent again.

    Attributes:
        peer_id: 16 bytes.
        why: what was seen of it.
    """

    def __init__(self, peer_id: bytes, why: str) -> None:
        super().__init__(f"peer {peer_id.hex()} is gone: {why}; choose another peer, or send again if twice does no harm")
        self.peer_id = peer_id
        self.why = why


class PeerBusy(ZmqGossipError):
    """A direct message was refused because a line is full, there or here. Nobody has read it.

    Attributes:
        peer_id: 16 bytes.
        why: which line.
    """

    def __init__(self, peer_id: bytes, why: str) -> None:
        super().__init__(f"peer {peer_id.hex()} took no message: {why}; wait a little and send it again")
        self.peer_id = peer_id
        self.why = why


class Timeout(ZmqGossipError, TimeoutError):
    """What was waited for has not come in time.

    Attributes:
        timeout_s: seconds that were waited.
    """

    def __init__(self, what: str, timeout_s: float, advice: str) -> None:
        super().__init__(f"{what} within {timeout_s:g} s; {advice}")
        self.timeout_s = timeout_s


class RequestFailed(ZmqGossipError):
    """A direct message came to its peer, and was not answered there but with a failure.

    Attributes:
        peer_id: 16 bytes.
        why: what that peer said of it, at most 200 characters.
    """

    def __init__(self, peer_id: bytes, why: str) -> None:
        super().__init__(f"peer {peer_id.hex()} could not answer: {why}; look into the program that runs there")
        self.peer_id = peer_id
        self.why = why


class InvalidTimeout(ZmqGossipError, ValueError):
    """A time to wait that is negative or no number; of direct messages also 0, and what is longer than askers are waited for.

    Attributes:
        timeout_s: as it was given.
        timeout_max_s: the longest that is accepted; infinite where there is none.
    """

    def __init__(self, timeout_s: float, timeout_max_s: float) -> None:
        choice = "0 or more" if timeout_max_s == math.inf else f"one above 0 and up to {timeout_max_s:g} s"
        super().__init__(f"a timeout of {timeout_s:g} s is not possible; choose {choice}")
        self.timeout_s = timeout_s
        self.timeout_max_s = timeout_max_s


class NodeClosed(ZmqGossipError):
    """The node was used before its start or after its end, or in a forked child."""


class WireError(ZmqGossipError):
    """A frame is refused. `reason` is the name of the counter that it goes to."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
