"""How a run's processes become a network of the wanted system: which are started, and what each is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmqgossip.bench.crew import Crew, tell_all, wait_until
from zmqgossip.bench.ports import free_port
from zmqgossip.bench.task import Facts

Links = list[list[int]]
"""For each node the places of its neighbours."""
DIALLED = 4
SETTLE_S = 60.0
SETTLE_EVERY_S = 0.25
WINDOWS = ((8_192, 1_000), (1 << 62, 64))
"""Messages that may be on their way, by the size up to which it holds. Without a window they would pile up in memory."""
FLOOD_WINDOW = 250
"""At most so many in a flood, where each is on its way over every link: some 1,500 copies with six links a node."""
LOOK_S = 0.001
"""Between two looks at a window that is full. More often wakes receivers for less: in a flood 30 % slower at 64 B, raw 5 % at 64 KiB."""
LOOK_SMALL_S = 0.0001
SMALL = 512
"""Raw, which gets a window of messages up to this size through in 5 ms, looks so often: 10 % faster than with 1 ms."""

DIRECT = {
    "raw": "zmqgossip.bench.systems.raw:Raw",
    "zenoh": "zmqgossip.bench.systems.zenoh:Zenoh",
    "nats": "zmqgossip.bench.systems.nats:Nats",
}
GOSSIP = {
    "zmqgossip": "zmqgossip.bench.systems.gossip:Gossip",
    "zmqgossip-many": "zmqgossip.bench.systems.gossip:GossipMany",
    "zmqgossip-async": "zmqgossip.bench.systems.gossip:GossipAsync",
    "zmqgossip-callbacks": "zmqgossip.bench.systems.gossip:GossipCallbacks",
}


def pace(system: str, size: int) -> Facts:
    """How the publisher of a system is held back: `window` messages on their way, looked at every `look_s`; nothing for a system
    that slows its publisher by itself."""
    if system in GOSSIP or system == "zenoh":
        return {}
    window = next(most for limit, most in WINDOWS if size <= limit)
    if system == "flood":
        window = min(window, FLOOD_WINDOW)
    return {"window": window, "look_s": LOOK_SMALL_S if system == "raw" and size <= SMALL else LOOK_S}


def assemble(system: str, crew: Crew, peers: int, links: Links | None = None) -> None:
    """Starts the processes of a system with one publisher, the first one, and returns when what it sends arrives at all others.

    Args:
        links: whose neighbour each is, for the flood.
    """
    if system in GOSSIP:
        assemble_gossip(crew, peers, GOSSIP[system])
    elif system == "flood":
        assemble_flood(crew, links or [])
    else:
        server = start_server(crew) if system == "nats" else {}
        for place in range(peers):
            crew.add(DIRECT[system], {"publishes": place == 0, "place": place, **server})
        crew.open()
        crew.connect()


def start_server(crew: Crew) -> dict[str, str]:
    """Starts a nats-server; where it is."""
    port = free_port()
    crew.add_server("nats-server", "--addr", "127.0.0.1", "--port", str(port))
    return {"server": f"nats://127.0.0.1:{port}"}


def assemble_flood(crew: Crew, links: Links) -> None:
    for place in range(len(links)):
        crew.add("zmqgossip.bench.systems.flood:Flood", {"place": place})
    crew.open()
    crew.connect(links=links)


def assemble_gossip(
    crew: Crew, peers: int, station: str = GOSSIP["zmqgossip"], *, all_listen: bool = False, in_one_bucket: int = 0, **settings: Any
) -> None:
    """A network of zmqgossip, settled.

    Args:
        all_listen: the first one subscribes too.
        in_one_bucket: so many of the first have ids that share a bucket.
        settings: of every peer, as `protocol`.
    """
    seeds = start_seeds(crew)
    for place in range(peers):
        bucket = 0 if place < in_one_bucket else None
        crew.add(station, {"seeds": seeds, "listens": all_listen or place > 0, "bucket": bucket, **settings})
    crew.open()
    tell_all(crew.stations, "wait")
    settle(crew)


def start_seeds(crew: Crew) -> list[str]:
    """Starts the process of the seed; its endpoints."""
    seeds = crew.add_helper("seeds", "zmqgossip.bench.systems.gossip:Seeds", {})
    seeds.opened = seeds.answer(seeds.begin("open"))
    endpoints: list[str] = seeds.opened["endpoints"]
    return endpoints


def settle(crew: Crew) -> None:
    """Until every peer knows every other one, has the neighbours that it dials, and nothing has changed between two looks."""
    peers = len(crew.stations)
    least = min(DIALLED, peers - 1)
    before: list[Any] = []

    def is_settled() -> bool:
        nonlocal before
        former, before = before, tell_all(crew.stations, "look")
        whole = all(one["members"] == peers - 1 and len(one["neighbours"]) >= least for one in before)
        return whole and [set(one["neighbours"]) for one in former] == [set(one["neighbours"]) for one in before]

    wait_until(is_settled, SETTLE_S, f"{peers} peers have not found each other", SETTLE_EVERY_S)


def links_of(crew: Crew) -> Links:
    """Whose neighbour each peer of a network of zmqgossip is. A link counts if both its ends have it."""
    looks = tell_all(crew.stations, "look")
    places = {child.opened["endpoint"]: place for place, child in enumerate(crew.stations)}
    found = [{places[neighbour] for neighbour in look["neighbours"] if neighbour in places} for look in looks]
    return [sorted(other for other in mine if place in found[other]) for place, mine in enumerate(found)]


def found_links(peers: int) -> Links:
    """The links of a network of zmqgossip that is started for this only."""
    with Crew(peers) as crew:
        assemble_gossip(crew, peers)
        return links_of(crew)


def degree(links: Sequence[Sequence[int]]) -> float:
    """The mean number of neighbours."""
    return sum(len(one) for one in links) / len(links) if links else 0.0
