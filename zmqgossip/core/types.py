"""The nouns that every other file uses: who a peer is, and where it can be reached.

These structs are what travels inside frames, so their field order is the wire's. A later minor version may append fields with
defaults; a decoder of today ignores what it does not know.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

ID_BYTES = 16
U64_MAX = 2**64 - 1
REVISIONS_AHEAD_MAX = 1000
"""How far news of one life may be ahead of the record held: refutations that did not get here. More is forged."""
FIRST_ID = bytes(ID_BYTES)
"""Below every id that is drawn: a list is paged from here."""

PeerId: TypeAlias = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]
Host: TypeAlias = Annotated[str, Meta(min_length=2, max_length=45)]  # numeric; 45 is the longest IPv6 text
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Timestamp: TypeAlias = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Unix time in seconds, to the end of the year 9999: no calendar shows more. NaN and infinity are refused with the rest."""
Order: TypeAlias = tuple[int, int]


class PeerState(IntEnum):
    """What a node or a seed holds of a peer. The numbers stand on the wire."""

    ALIVE = 1
    SUSPECT = 2
    DEAD = 3
    LEFT = 4


class Endpoint(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A numeric address and a TCP port."""

    host: Host
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def tcp(self) -> str:
        """The address as ZeroMQ writes it."""
        return f"tcp://{self}"


class PeerRecord(msgspec.Struct, frozen=True, array_like=True):
    """What a peer says of itself. Only its owner makes a newer one.

    Attributes:
        id: 16 bytes, random when the process starts; never an address.
        epoch: start of the process, Unix time in milliseconds; names the life of a process and its stream.
        revision: raised by the owner to refute a false verdict.
        host, port: where its ROUTER can be reached.
        publish: port of its XPUB on the same host.
        ready: a message published from now on reaches it.
    """

    id: PeerId
    epoch: Count
    revision: Count
    host: Host
    port: Port
    publish: Port
    ready: bool = False

    @property
    def order(self) -> Order:
        """What decides which of two records of one id is the newer."""
        return (self.epoch, self.revision)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)

    @property
    def publish_endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.publish)

    def __str__(self) -> str:
        return str(self.endpoint)


class Whom(NamedTuple):
    """A peer that somebody wants to reach: its id, and where it was seen, if anywhere."""

    id: PeerId
    seen_at: Endpoint | None = None


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A line of somebody's list: a record, what is held of it, and since when (Unix seconds)."""

    record: PeerRecord
    state: PeerState
    since: Timestamp


def moves(held: PeerRecord, said: PeerRecord) -> bool:
    """Whether `said` gives the very life of `held` another address, which no life has."""
    return held.epoch == said.epoch and (held.host, held.port, held.publish) != (said.host, said.port, said.publish)


def is_numeric_host(host: str) -> bool:
    """Whether `host` is an IPv4 or IPv6 address in figures. Names are resolved outside, before they get here.

    A zone (`fe80::1%eth0`) means something on one machine only, and `ipaddress` lets anything stand behind the `%`.
    """
    if "%" in host:
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_unicast_host(host: str) -> bool:
    """Whether `host` is the numeric address of one machine: neither every address, nor a group, nor everybody."""
    if not is_numeric_host(host):
        return False
    address = ipaddress.ip_address(host)
    return not (address.is_unspecified or address.is_multicast or host == "255.255.255.255")


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Whether a connection comes from this very machine, where an address says nothing about who speaks."""
    try:
        seen = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(seen, "ipv4_mapped", None) or seen).is_loopback


def is_vouched(host: str, address: str, networks: Iterable[str]) -> bool:
    """Whether a peer whose connection comes from `address` may announce `host`: its own, or one of the networks allowed."""
    try:
        announced, seen = ipaddress.ip_address(host), ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(seen, ipaddress.IPv6Address) and seen.ipv4_mapped is not None:
        seen = seen.ipv4_mapped
    return announced == seen or any(announced in ipaddress.ip_network(network) for network in networks)


def parse_endpoint(text: str) -> Endpoint:
    """`127.0.0.1:6001` or `[::1]:6001` as an Endpoint. Raises ValueError with a sentence for a person."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not is_numeric_host(host):
        raise ValueError(f"{text!r} is not HOST:PORT with a numeric host")
    if not port.isascii() or not port.isdigit() or len(port) > len("65535") or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no port from 1 to 65535")
    return Endpoint(host, int(port))
