"""Three workers take turns on jobs that are published to all: each job is done by the one whose id is nearest to its hash.

Nobody hands the jobs out. Everybody knows who is alive, so everybody comes to the same conclusion.
"""

from __future__ import annotations

from hashlib import blake2b

from zmqgossip import Message, Peer
from zmqgossip.testing import Network

JOBS = 12


def distance(peer_id: bytes, job: bytes) -> bytes:
    """How far a peer is from a job: the smaller, the nearer."""
    return blake2b(peer_id + job).digest()


def work(peer: Peer, done: Peer) -> None:
    """Has `peer` do the jobs that are nearest to it, and tell `done` about each."""

    @peer.on("jobs.*")
    def on_job(message: Message) -> None:
        workers = [member.record.id for member in peer.members() if member.record.id != done.id] + [peer.id]
        if min(workers, key=lambda worker: distance(worker, message.payload)) == peer.id:
            peer.send(done.id, message.payload)


def main() -> None:
    """Publishes the jobs, kills a worker halfway, and waits until all are done once."""
    with Network(peers=4) as network:
        boss, *workers = network.peers
        finished: list[bytes] = []
        boss.on_request(lambda request: finished.append(request.payload))
        for worker in workers:
            work(worker, boss)
        for number in range(JOBS // 2):
            boss.publish(f"jobs.{number}", b"job %d" % number)
        network.wait_for(lambda: len(finished) == JOBS // 2, what="the first half is not done")
        network.kill(workers[0])
        network.settle()
        for number in range(JOBS // 2, JOBS):
            boss.publish(f"jobs.{number}", b"job %d" % number)
        network.wait_for(lambda: len(finished) == JOBS, what="the second half is not done")
        assert len({*finished}) == JOBS, "each job was done once"
        print(f"{JOBS} jobs done, each once, while a worker died")


if __name__ == "__main__":
    main()
