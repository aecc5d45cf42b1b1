"""The ground between the nodes: is the way open, and how long does a frame take.

Nodes are named by place ("p3"), so a path outlives the process at its end. Weather is what a path does to frames that pass;
cuts and partitions are paths on which nothing passes. A link is TCP: what the weather loses comes again after a time-out, so
loss shows as delay. Who is connected to whom, and what waits at a closed path, is `network`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from zlib import crc32

ANY = "*"
RETRY_FIRST_S = 0.2  # TCP's smallest retransmission time-out on Linux
SYN_RETRY_FIRST_S = 1.0  # the first repeat of a SYN
RETRY_MAX_S = 120.0  # TCP_RTO_MAX on Linux
REPEATS_MAX = 15  # tcp_retries2: so many losses in a row, and the frame goes through


@dataclass(frozen=True, slots=True)
class Weather:
    """What a path does to frames.

    Attributes:
        delay_s: one way, for everybody.
        spread_s: more for each pair of nodes, always the same for a pair: from 0 to this.
        jitter_s: more for each frame: from 0 to this. Frames of one connection never overtake.
        loss: probability that a frame, or a SYN, is lost and comes again after TCP's time-out.
        gossip_drop: probability that a published frame is dropped for one subscriber, as a PUB does at its high-water mark.
        gossip_twice: probability that one subscriber gets a published frame two times, as a SUB may that connects anew.
    """

    delay_s: float = 0.001
    spread_s: float = 0.0
    jitter_s: float = 0.001
    loss: float = 0.0
    gossip_drop: float = 0.0
    gossip_twice: float = 0.0

    @property
    def meddles(self) -> bool:
        """Whether it drops or doubles published frames."""
        return self.gossip_drop > 0 or self.gossip_twice > 0


class Paths:
    """Every path between two places, its weather and whether anything passes."""

    __slots__ = ("_cuts", "_group", "_salt", "_special", "calm", "meddles", "rng", "weather")

    def __init__(self, weather: Weather, rng: Random, salt: str) -> None:
        self.weather = weather
        self.rng = rng
        self.calm = True  # nothing is cut: the common case, and one look
        self.meddles = weather.meddles  # published frames are dropped or doubled somewhere
        self._salt = salt
        self._special: dict[tuple[str, str], Weather] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._group: dict[str, int] = {}

    # -- faults -----------------------------------------------------------------------------------------------------------

    def set_weather(self, weather: Weather, sender: str = ANY, receiver: str = ANY) -> None:
        """From now on: for all paths, for all from or to one node, or for one direction of one pair; the closest named counts."""
        if sender == receiver == ANY:
            self.weather = weather
        else:
            self._special[(sender, receiver)] = weather
        self.meddles = any(one.meddles for one in (self.weather, *self._special.values()))

    def clear_weather(self, weather: Weather) -> None:
        """The same weather everywhere."""
        self.weather = weather
        self.meddles = weather.meddles
        self._special.clear()

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing passes from `sender` to `receiver` any more; the other direction stays."""
        self._cuts[(sender, receiver)] = None
        self.calm = False

    def mend(self, sender: str, receiver: str) -> None:
        self._cuts.pop((sender, receiver), None)
        self.calm = not self._cuts and not self._group

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Nodes talk only inside their group; all that are not named are one more group. Replaces an earlier partition."""
        self._group = {name: number for number, group in enumerate(groups, 1) for name in group}
        self.calm = not self._cuts and not self._group

    def heal(self) -> None:
        """Ends all cuts and partitions."""
        self._cuts.clear()
        self._group = {}
        self.calm = True

    # -- questions --------------------------------------------------------------------------------------------------------

    def open(self, sender: str, receiver: str) -> bool:
        """Whether a frame passes from `sender` to `receiver` now."""
        if self.calm:
            return True
        if self._group.get(sender, 0) != self._group.get(receiver, 0):
            return False
        cuts = self._cuts
        return not ((sender, receiver) in cuts or (sender, ANY) in cuts or (ANY, receiver) in cuts)

    def both_ways(self, one: str, other: str) -> bool:
        """Whether a connection can be made."""
        return self.calm or (self.open(one, other) and self.open(other, one))

    def delay_s(self, sender: str, receiver: str, luck: float | None = None) -> float:
        """How long a frame is on its way, the repeats after a loss included. `luck`: of that pair, if the caller knows it."""
        weather = self._weather(sender, receiver) if self._special else self.weather
        delay_s = weather.delay_s + self.rng.random() * weather.jitter_s
        if weather.spread_s:
            delay_s += weather.spread_s * (self.pair_luck(sender, receiver) if luck is None else luck)
        if weather.loss:
            delay_s += self._repeats_s(weather.loss, RETRY_FIRST_S)
        return delay_s

    def syn_repeats_s(self, one: str, other: str) -> float:
        """What lost SYNs, or their answers, add to making a connection."""
        lost = 1 - (1 - self._weather(one, other).loss) * (1 - self._weather(other, one).loss)
        return self._repeats_s(lost, SYN_RETRY_FIRST_S) if lost else 0.0

    def gossip_copies(self, sender: str, receiver: str) -> int:
        """How often a published frame goes to one subscriber: 0 when the PUB drops it."""
        weather = self._weather(sender, receiver)
        if weather.gossip_drop and self.rng.random() < weather.gossip_drop:
            return 0
        return 2 if weather.gossip_twice and self.rng.random() < weather.gossip_twice else 1

    def _weather(self, sender: str, receiver: str) -> Weather:
        special = self._special
        if not special:
            return self.weather
        for pair in ((sender, receiver), (sender, ANY), (ANY, receiver)):
            if pair in special:
                return special[pair]
        return self.weather

    def _repeats_s(self, loss: float, first_s: float) -> float:
        total_s, step_s = 0.0, first_s
        for _ in range(REPEATS_MAX):
            if self.rng.random() >= loss:
                break
            total_s += step_s
            step_s = min(2 * step_s, RETRY_MAX_S)
        return total_s

    def pair_luck(self, one: str, other: str) -> float:
        """A pair's own share of the spread, from 0 to 1, the same both ways and in every run of this seed."""
        first, second = (one, other) if one < other else (other, one)
        return crc32(f"{self._salt}/{first}/{second}".encode()) / 2**32


def next_repeat_s(waited_s: float, first_s: float) -> float:
    """When TCP, which first tried `waited_s` ago, tries again: seconds from the first try. Its pauses double up to RETRY_MAX_S.

    This is why a link is silent for up to as long again after a partition has healed.
    """
    at_s, step_s = 0.0, first_s
    while at_s <= waited_s:
        at_s += step_s
        step_s = min(2 * step_s, RETRY_MAX_S)
    return at_s
