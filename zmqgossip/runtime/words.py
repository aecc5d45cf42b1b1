"""Events in words: one sentence each, for logs, screens and errors. Text that came from a remote is escaped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zmqgossip.core import events
from zmqgossip.core.types import PeerState


def words(event: events.Event) -> str:
    """What an event says to a person, on one line."""
    return printable(_WORDS[type(event)](event))


def printable(text: str) -> str:
    """`text` with everything that a terminal would act on written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def counted(number: int, noun: str) -> str:
    """`1 link`, `2 links`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _accepted(event: events.SeedAccepted) -> str:
    return f"listed by seed {event.seed}, {counted(event.total, 'peer')} there"


def _no_seed(event: events.NoSeed) -> str:
    return f"no seed reachable ({', '.join(map(str, event.seeds))}); going on without and trying again for ever"


def _wrong_cluster(event: events.WrongCluster) -> str:
    return f"seed {event.seed} belongs to another cluster; check `cluster` and `seeds` in the configuration"


def _reported(event: events.NeighbourReported) -> str:
    return f"reported {event.peer} dead to all seeds ({event.evidence.name.lower()}, {event.misses} misses)"


def _verdict(event: events.VerdictHeard) -> str:
    held = "it lives, the link was at fault" if event.state is PeerState.ALIVE else event.state.name.lower()
    return f"verdict of seed {event.seed} on {event.peer}: {held}"


def _dead_report(event: events.DeadReportReceived) -> str:
    return f"dead report of {event.peer} by {event.reporter} ({event.evidence.name.lower()}, {event.misses} misses)"


def _not_listed(event: events.PeerNotListed) -> str:
    return f"registration of {event.peer} refused ({event.why.name.lower()}): {event.text}"


def _refused(event: events.RegistrationRefused) -> str:
    return f"seed {event.seed} does not list this peer ({event.why.name.lower()}, {event.address}): {event.text}"


def _version(event: events.VersionRefused) -> str:
    return f"{event.remote} speaks protocol {event.theirs}, this node {event.ours}: refused; upgrade the older one"


def _frame_refused(event: events.FrameRefused) -> str:
    detail = f" ({printable(event.detail)})" if event.detail else ""
    return f"refused a frame of {event.remote}: {event.reason}{detail}; from now on only counted, as refused.{event.reason}"


def _limited(event: events.RemoteLimited) -> str:
    if event.what == "lines":
        return f"{event.remote} causes more lines than are written of one; from now on only counted, as limited.lines"
    return f"{event.remote} sends more {event.what} than are taken of one; from now on only counted, as limited.{event.what}"


def _messages_lost(event: events.MessagesLost) -> str:
    named = f"message {event.first}" if event.first == event.last else f"messages {event.first} to {event.last}"
    return f"lost {named} of {event.origin.hex()[:8]}: {event.why}"


_WORDS: dict[type[events.Event], Callable[[Any], str]] = {
    events.PeerJoined: lambda event: f"joined {event.peer}",
    events.PeerReady: lambda event: f"peer ready {event.peer}",
    events.PeerSuspected: lambda event: f"suspect {event.peer}",
    events.PeerAlive: lambda event: f"alive after all {event.peer}",
    events.PeerDead: lambda event: f"dead {event.peer}",
    events.PeerLeft: lambda event: f"left {event.peer}",
    events.MembersPartial: lambda event: f"{counted(event.total, 'peer')}: too many to know each; from now on only neighbours are told of",
    events.MembersFull: lambda event: f"{counted(event.total, 'peer')}: from now on each of them is told of",
    events.SeedAccepted: _accepted,
    events.SeedLost: lambda event: f"lost seed {event.seed}: {event.why}",
    events.NoSeed: _no_seed,
    events.WrongCluster: _wrong_cluster,
    events.VersionRefused: _version,
    events.FrameRefused: _frame_refused,
    events.RemoteLimited: _limited,
    events.RegistrationRefused: _refused,
    events.NeighbourUp: lambda event: f"link up {event.peer} ({'dialled' if event.dialled else 'accepted'})",
    events.NeighbourDown: lambda event: f"link down {event.peer}: {event.why}",
    events.Isolated: lambda event: f"no link is left; dialling others ({event.known} known) and asking the seeds until one is up",
    events.ProbeMissed: lambda event: f"no reply from {event.peer}, miss {event.misses} of {event.misses_max}",
    events.NeighbourReported: _reported,
    events.VerdictHeard: _verdict,
    events.Refuted: lambda event: f"this peer was called dead; it lives, revision {event.revision}",
    events.Ready: lambda event: f"ready, {counted(event.links, 'link')} up",
    events.MessagesLost: _messages_lost,
    events.NeighbourSlow: lambda event: f"slow neighbour {event.peer}: not waited for",
    events.NeighbourCaughtUp: lambda event: f"neighbour {event.peer} has caught up",
    events.LoopLate: lambda event: (
        f"this node was {event.late_s:.2f} s late: other threads of its process, or the machine, kept it from running"
    ),
    events.Left: lambda event: f"left the network: {event.heard} of {event.told} neighbours and seeds confirmed it",
    events.Connected: lambda event: f"connection from {event.address}",
    events.RegistrationReceived: lambda event: f"registration of {event.peer} from {event.address}",
    events.PeerListed: lambda event: f"listed {event.peer}, {counted(event.total, 'peer')}",
    events.PeerNotListed: _not_listed,
    events.DeadReportReceived: _dead_report,
    events.PeerCleared: lambda event: f"cleared {event.peer}: {event.answered} of {event.asked} probes answered",
    events.PeerHeld: lambda event: f"held {event.peer} suspect: {event.unreachable} unreachable at once, waiting for its lease",
    events.PeerRemoved: lambda event: f"removed {event.peer}: {event.why}, {counted(event.total, 'peer')}",
    events.LeaveReceived: lambda event: f"leave of {event.peer}, {counted(event.total, 'peer')}",
}
