"""Every knob of the protocol: its unit, its range and why it stands where it stands.

The default profile keeps the base rule (a probe every 13 s). `lan` is for machines that share a switch or a host.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields, replace
from typing import Any

from zmqgossip.core.errors import ConfigError

MIB = 1024 * 1024


def _knob(default: Any, low: float, high: float, why: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "why": why})


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """All knobs. Durations end in `_s` (seconds), limits in `_max`."""

    liveness_interval_s: float = _knob(13.0, 0.1, 3600, "the base rule: a 1122 to each neighbour every 13 s")
    reply_timeout_s: float = _knob(5.0, 0.05, 600, "a 1144 later than this is a miss; shorter than the interval")
    misses_max: int = _knob(3, 1, 100, "the base rule: three consecutive misses")
    knock_timeout_s: float = _knob(1.0, 0.05, 60, "a TCP connect that hangs says nothing, so waiting longer teaches nothing")

    presence_interval_s: float = _knob(13.0, 0.2, 3600, "one renewal a liveness interval; jittered downwards only, or leases would tear")
    presence_jitter: float = _knob(0.2, 0.0, 0.9, "share of the interval; spreads renewals of peers that started together")
    lease_intervals: int = _knob(4, 2, 100, "three renewals in a row may be lost before a peer is gone from a list")

    neighbours_dialled: int = _knob(4, 1, 64, "four random neighbours, the base rule")
    neighbours_max: int = _knob(12, 1, 256, "with those that dialled us: mean degree is about twice the dialled")
    neighbours_spare: int = _knob(2, 0, 256, "places beyond neighbours_max, for who has one link or none and for what must be dialled")
    link_timeout_s: float = _knob(5.0, 0.1, 600, "from dialling to up both ways; several round trips and one slow start")
    hello_interval_s: float = _knob(1.0, 0.05, 60, "a HELLO is said again after this, in case the ROUTER dropped it")
    sync_timeout_s: float = _knob(2.0, 0.05, 60, "a neighbour that has not given a baseline by then is passed over")
    sync_alone_s: float = _knob(1.0, 0.05, 60, "who hears from all neighbours that they have no baseline either begins without")
    redial_min_s: float = _knob(1.0, 0.05, 600, "first back-off after a link that failed")
    redial_max_s: float = _knob(60.0, 0.1, 3600, "last back-off: flaps must not cost more than a probe")
    refill_interval_s: float = _knob(1.0, 0.05, 60, "how often a peer short of neighbours or of news asks its seeds")

    shuffle_interval_s: float = _knob(30.0, 0.1, 3600, "between two exchanges of candidates where not everybody is known")

    seed_timeout_s: float = _knob(2.0, 0.05, 60, "a seed that has not answered by then is replaced by another")
    reconnect_min_s: float = _knob(0.25, 0.01, 60, "first retry of a connection that dropped; doubles up to the presence interval")
    leave_timeout_s: float = _knob(0.4, 0.0, 60, "how long a leaving peer waits for its LEAVE to be heard; the end takes 1 s at most")
    sample_max: int = _knob(64, 1, 256, "members in one answer: joining costs the same at 10 and at 100,000 peers")
    page_max: int = _knob(256, 1, 512, "members in one page of a list: a page stays far below a frame's limit")

    dials_per_s: int = _knob(100, 1, 10000, "dial-backs a second a seed: about a tenth of a core; registrations beyond wait in a line")
    dials_open_max: int = _knob(32, 1, 10000, "under way at once: each holds five descriptors, and silent ports hold theirs for a second")
    dials_queued_max: int = _knob(4096, 1, 1_000_000, "registrations that wait for their dial-back")
    dials_client_max: int = _knob(4, 1, 1_000_000, "of one connection: a peer has one, and a second while it moves on")
    dials_address_max: int = _knob(
        1024, 1, 1_000_000, "of one address that is not loopback: a quarter of the line, and 300 peers of one machine fit"
    )
    dial_timeout_s: float = _knob(1.0, 0.05, 60, "one attempt to dial a registering peer back")
    dial_attempts: int = _knob(3, 1, 20, "after three failures the peer is told UNREACHABLE")
    verify: bool = _knob(True, 0, 1, "a seed checks a dead report itself; false gives the bare rule")
    cases_max: int = _knob(64, 1, 10_000, "dead reports that a seed verifies at once: each holds a DEALER, its monitor and two connects")
    verify_probes: int = _knob(3, 1, 20, "a seed's own probes to a peer that was reported dead")
    verify_window_s: float = _knob(6.0, 0.1, 600, "those probes and their answers fit in here")
    several_accused: int = _knob(3, 2, 1000, "so many unreachable at once point at the seed's own network")
    several_window_s: float = _knob(10.0, 0.1, 600, "what counts as at once")

    questions_max: int = _knob(10_000, 1, 1_000_000, "direct messages of one's own that wait for their end; beyond, BUSY here")
    questions_bytes_max: int = _knob(67_108_864, 1, 2**40, "those of them that no connection has taken yet, in bytes; beyond, BUSY here")
    requests_open_max: int = _knob(1_000, 1, 1_000_000, "others' questions that wait for this peer's answer; beyond, BUSY")
    direct_timeout_max_s: float = _knob(3600.0, 0.1, 10_000_000, "longest wait for an answer: a question whose asker died is kept as long")
    errands_max: int = _knob(64, 1, 4096, "connections to peers without a link, for direct messages: each is a DEALER and its monitor")
    errand_idle_s: float = _knob(2.0, 0.0, 600, "how long such a connection is kept for the next message: a handshake costs more than ten")
    link_frames_per_s: int = _knob(
        50_000, 1, 10_000_000, "gossip of one link: half a core's work; who publishes faster puts several messages into a segment"
    )
    link_bytes_per_s: int = _knob(512 * MIB, 70_793, 1024 * 1024 * MIB, "8,192 of the largest segments a second; at least one fits")
    peer_requests_per_s: int = _knob(20_000, 1, 10_000_000, "frames on one connection: four times what a core answers one after the other")
    peer_bytes_per_s: int = _knob(512 * MIB, 70_793, 1024 * 1024 * MIB, "the same in bytes; at least one frame fits")
    seed_requests_per_s: int = _knob(100, 1, 10_000_000, "frames on one connection to a seed: a peer says fewer than three a second")
    seed_requests_burst: int = _knob(500, 1, 10_000_000, "so many at once: the pages of 100,000 members are 391, asked for back to back")
    seed_bytes_per_s: int = _knob(1 * MIB, 70_793, 1024 * 1024 * MIB, "a request has at most some hundred bytes; at least one frame fits")
    clients_max: int = _knob(10_000, 1, 10_000_000, "connections whose rates are remembered: 2 MB; whoever is forgotten starts anew")

    parents: int = _knob(2, 1, 64, "neighbours that push each bucket: with two, the death of one costs no time")
    hot_segments_per_s: int = _knob(
        100, 0, 10_000_000, "a bucket that carries more has one parent: a second copy costs more than a rare pull"
    )
    hot_bytes_per_s: int = _knob(1 * MIB, 0, 2**40, "the same in bytes")
    pull_after_s: float = _knob(0.05, 0.001, 60, "what is missing may be on its way: a stream that moves is not pulled")
    pull_timeout_s: float = _knob(1.0, 0.01, 60, "a neighbour that has not given what it has by then is passed over")
    pull_bytes_max: int = _knob(1 * MIB, 1, 2**40, "one answer to a pull; the next is asked for at once")
    pipe_segments: int = _knob(600, 2, 1_000_000, "what the pipe to a neighbour holds, half of it for all that publish together")
    kept_bytes_max: int = _knob(64 * MIB, 1024, 2**40, "segments kept for neighbours that lack them")
    beyond_bytes_max: int = _knob(32 * MIB, 1024, 2**40, "segments that wait for an earlier one: as much as the windows of all publishers")
    ahead_max: int = _knob(65_536, 1, 10_000_000, "numbers beyond a gap that are taken: what is further is pulled later")
    slow_after_s: float = _knob(5.0, 0.1, 600, "nobody waits longer than this for one neighbour, or for one application, that is slow")
    message_bytes_max: int = _knob(65_536, 1, 65_536, "payload of one message: it fits a segment")
    segment_bytes_max: int = _knob(65_536, 1024, 65_536, "messages that share a segment: copies decide the cost beyond")
    members_full_max: int = _knob(
        2000, 1, 10_000_000, "a cluster larger than this is known in part: each join or death told to all costs each a segment"
    )
    candidates_max: int = _knob(64, 8, 100_000, "others that a peer keeps beside its neighbours then: one sample of a seed")
    members_max: int = _knob(100_000, 10, 10_000_000, "living entries of a table of members")
    tombstones_max: int = _knob(10_000, 1, 10_000_000, "dead and left entries kept, so that old news does not revive them")
    tombstone_s: float = _knob(86_400.0, 1.0, 10_000_000, "how long a dead or left entry is kept")
    hops_max: int = _knob(64, 2, 255, "a segment is not passed on further: a random graph of a million peers is a dozen hops wide")
    streams_max: int = _knob(10_000, 2, 10_000_000, "streams whose numbers are remembered")
    stream_gone_s: float = _knob(
        900.0, 1.0, 10_000_000, "the stream of somebody gone is kept so long: after a partition of less, all of it is exchanged or named"
    )
    epoch_ahead_max_s: float = _knob(86_400.0, 1.0, 10_000_000, "a start time further in the future is a lie or a broken clock")

    advertise_networks: tuple[str, ...] = ()
    """CIDR networks that a peer may announce an address of, though its connection comes from elsewhere."""

    def __post_init__(self) -> None:
        for knob in fields(self):
            if "low" not in knob.metadata:
                continue
            _check_range(knob.name, getattr(self, knob.name), knob.metadata["low"], knob.metadata["high"])
        for network in self.advertise_networks:
            _check_network(network)
        if self.reply_timeout_s >= self.liveness_interval_s:
            raise ConfigError("reply_timeout_s must be shorter than liveness_interval_s", "reply_timeout_s")
        if self.neighbours_max < self.neighbours_dialled:
            raise ConfigError("neighbours_max must not be smaller than neighbours_dialled", "neighbours_max")

    @property
    def lease_s(self) -> float:
        """Seconds that a seed keeps a peer that does not renew its presence."""
        return self.presence_interval_s * self.lease_intervals

    @property
    def late_s(self) -> float:
        """A turn that comes later than this judges nobody: the node itself was away."""
        return self.reply_timeout_s / 2


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a network such as 10.0.0.0/8: {error}", "advertise_networks") from None


def _check_range(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; it must be from {low:g} to {high:g}", name)


DEFAULT = ProtocolConfig()
LAN = replace(
    DEFAULT,
    liveness_interval_s=1.0,
    reply_timeout_s=0.5,
    presence_interval_s=2.0,
    link_timeout_s=2.0,
    hello_interval_s=0.5,
    sync_timeout_s=1.0,
    pull_timeout_s=0.5,
    refill_interval_s=0.5,
    redial_min_s=0.5,
    redial_max_s=10.0,
    shuffle_interval_s=5.0,
    seed_timeout_s=1.0,
    verify_window_s=1.5,
    stream_gone_s=60.0,
)
PROFILES = {"default": DEFAULT, "lan": LAN}
KNOCK_DELAYS_S = (0.0, 0.05, 0.15)
"""When a neighbour whose TCP connection dropped is knocked at: three refusals in a row cannot be a listener's restart of a few ms."""
KNOCK_SERIES_MAX = 3
"""Series of knocks after one drop. A process killed under load was seen to accept for some ms after its connections had dropped."""
