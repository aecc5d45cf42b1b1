"""Are my neighbours alive? The base rule, and the quick way for a crash.

Every interval each link gets a 1122, whatever else passes. A 1144, or any other valid frame, is proof of life. Without one
within the reply time-out it is a miss, and three in a row are a death. A crash shows sooner: when the TCP connection drops, both
ports are knocked at three times within 150 ms, and refusals throughout mean that nobody listens any more. A hung process still
accepts (its kernel does), so it stays with the rule.

Who was away himself judges nobody: after a late turn all replies under way get another time-out.
What becomes of a failed neighbour is decided elsewhere; this file only says that it failed, and on what evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

from zmqgossip.core.codes import Evidence
from zmqgossip.core.config import KNOCK_DELAYS_S, KNOCK_SERIES_MAX
from zmqgossip.core.events import ProbeMissed, ReplyReceived
from zmqgossip.core.messages import Probe, Reply
from zmqgossip.core.node import Node
from zmqgossip.core.outbox import Knock
from zmqgossip.core.types import PeerRecord
from zmqgossip.core.view import Link, View

PROBE = "probe"
REPLY_DUE = "reply due"
KNOCK_DUE = "knock"


class Liveness:
    """Probes, replies, misses and knocks of one peer's links."""

    __slots__ = ("_node", "_view")

    def __init__(self, node: Node, view: View) -> None:
        self._node = node
        self._view = view

    def watch(self, link: Link, now: float) -> None:
        """Begins with a link that has come up. The first probe falls anywhere in the interval, so that links do not beat as one."""
        link.last_heard = now
        self._node.timers.set((PROBE, link.key), now + self._node.rng.random() * self._node.config.liveness_interval_s)

    def forget(self, link: Link) -> None:
        for name in (PROBE, REPLY_DUE, KNOCK_DUE):
            self._node.timers.cancel((name, link.key))

    @staticmethod
    def heard(link: Link, now: float) -> None:
        """Any valid frame of the neighbour is proof of life."""
        link.last_heard = now
        link.misses = 0

    # -- the base rule ----------------------------------------------------------------------------------------------------

    def probe(self, me: PeerRecord, link: Link, roots: tuple[int, int], due: float, now: float) -> Evidence | None:
        """Sends the 1122 that was due, and sets the next on the same beat. MISSES when an unconnected link had its last chance.

        `roots` stand for this peer's settled streams and for its members.
        """
        node, config = self._node, self._node.config
        following = due + config.liveness_interval_s
        node.timers.set((PROBE, link.key), following if following > now else now + config.liveness_interval_s)
        if not link.connected:
            lost_at = link.disconnected_at if link.disconnected_at is not None else link.since
            return self._miss(link) if now - lost_at > config.reply_timeout_s else None
        link.probe = node.nonce()
        link.probe_at = now
        node.ask(link.key, Probe(node.wall(now), me.port, link.theirs, link.probe, *roots, self._view.up_count))
        node.timers.set((REPLY_DUE, link.key), now + config.reply_timeout_s)
        node.counters.add("probes.sent")
        return None

    def on_reply(self, link: Link, reply: Reply) -> None:
        """A 1144. One that answers no open probe is counted and means nothing more."""
        if not link.probe or reply.probe != link.probe:
            self._node.counters.add("probes.stale_reply")
            return
        link.probe = b""
        self._node.timers.cancel((REPLY_DUE, link.key))
        self._node.outbox.event(ReplyReceived(link.peer.endpoint, reply.timestamp, reply.sender_port, reply.own_port))

    def reply_due(self, link: Link) -> Evidence | None:
        """The reply time-out of a probe has passed. MISSES when that was the last of the misses allowed."""
        link.probe = b""
        return None if link.last_heard >= link.probe_at else self._miss(link)

    def _miss(self, link: Link) -> Evidence | None:
        link.misses += 1
        self._node.counters.add("probes.missed")
        misses_max = self._node.config.misses_max
        self._node.outbox.event(ProbeMissed(link.peer, link.misses, misses_max))
        return Evidence.MISSES if link.misses >= misses_max else None

    def postpone(self, now: float) -> None:
        """This node was away: whoever it waits for gets the whole time-out again."""
        for link in self._view.links():
            if not link.connected:
                link.disconnected_at = now
            if self._node.timers.when((REPLY_DUE, link.key)) is not None:
                self._node.timers.set((REPLY_DUE, link.key), now + self._node.config.reply_timeout_s)

    # -- a crash ----------------------------------------------------------------------------------------------------------

    def on_disconnected(self, link: Link, now: float) -> None:
        """The connection of a link that was up dropped: knock at both ports."""
        link.series = 1
        self._begin_series(link, now + KNOCK_DELAYS_S[0])

    def _begin_series(self, link: Link, at: float) -> None:
        link.knocks = link.refusals = 0
        self._node.timers.set((KNOCK_DUE, link.key), at)

    def knock(self, link: Link, now: float) -> None:
        link.knocks += 1
        self._node.outbox.knock(link.key, (link.peer.endpoint, link.peer.publish_endpoint))
        if link.knocks < len(KNOCK_DELAYS_S):
            delay = KNOCK_DELAYS_S[link.knocks] - KNOCK_DELAYS_S[link.knocks - 1]
            self._node.timers.set((KNOCK_DUE, link.key), now + delay)

    def on_knock(self, link: Link, results: Sequence[Knock], now: float) -> Evidence | None:
        """What the knocks met. REFUSED when every knock of a series was refused at both ports, and the link has not come back.

        A process that dies may close its connections before its listeners: one knock that is let in begins another series.
        """
        if link.connected:
            self._node.timers.cancel((KNOCK_DUE, link.key))
            return None
        if any(result is not Knock.REFUSED for result in results):
            self._node.counters.add("knocks.not_refused")
            self._node.timers.cancel((KNOCK_DUE, link.key))
            if link.series < KNOCK_SERIES_MAX:
                link.series += 1
                self._begin_series(link, now + KNOCK_DELAYS_S[1])
            return None
        link.refusals += 1
        return Evidence.REFUSED if link.refusals >= len(KNOCK_DELAYS_S) else None
