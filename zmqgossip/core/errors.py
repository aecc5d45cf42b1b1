"""Everything this package raises on purpose.

A caller's misuse raises a typed error whose fields can be read by a program. `WireError` is different: it is how the codec tells
the engine that a remote's bytes are refused, and it never leaves `core`.
"""

from __future__ import annotations


class ZmqGossipError(Exception):
    """The root of all errors that this package raises on purpose."""


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
    """One message is larger than a segment may carry.

    Attributes:
        size: bytes of the message as encoded.
        size_max: bytes that would have been accepted.
    """

    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(f"the message has {size} bytes, at most {size_max} fit; send it in parts")
        self.size = size
        self.size_max = size_max


class InvalidTopic(ZmqGossipError):
    """A topic that no receiver would accept."""

    def __init__(self, topic: str, why: str) -> None:
        super().__init__(f"topic {topic[:40]!r} cannot be sent: {why}")
        self.topic = topic
        self.why = why


class NodeClosed(ZmqGossipError):
    """The node was used after it had left."""


class WireError(ZmqGossipError):
    """A frame is refused. `reason` is the name of the counter that it goes to."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
