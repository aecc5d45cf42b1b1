"""A board that shows who is in the network, kept up to date by events alone. It ends when three others have come and one has left."""

from __future__ import annotations

from zmqgossip import Event, Peer, PeerDead, PeerJoined, PeerLeft, Seed


def show(event: Event, board: dict[bytes, str]) -> None:
    """Takes one event into the board."""
    if isinstance(event, PeerJoined):
        board[event.peer.id] = str(event.peer)
    elif isinstance(event, (PeerDead, PeerLeft)):
        board.pop(event.peer.id, None)
    print(type(event).__name__, "->", sorted(board.values()))


def main() -> None:
    """Runs a seed and four peers, three of which leave again."""
    with Seed("127.0.0.1:0", cluster="board", profile="lan") as seed, Peer(seeds=seed.endpoints, cluster="board", profile="lan") as peer:
        changes = peer.events(PeerJoined, PeerLeft, PeerDead)
        board: dict[bytes, str] = {}
        others = [Peer(seeds=seed.endpoints, cluster="board", profile="lan").start() for _ in range(3)]
        while len(board) < 3:
            show(changes.get(timeout=10), board)
        others.pop().close()
        while len(board) > 2:
            show(changes.get(timeout=10), board)
        for other in others:
            other.close()


if __name__ == "__main__":
    main()
