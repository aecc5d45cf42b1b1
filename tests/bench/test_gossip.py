"""What the bench does with peers that no program does."""

from __future__ import annotations

import random

from zmqgossip.bench.systems.gossip import ids_ending_with


def test_ids_end_with_a_wanted_byte_and_differ_before_it() -> None:
    rng = random.SystemRandom()
    with ids_ending_with(7):
        one, other = rng.randbytes(16), rng.randbytes(16)
    assert one[-1] == other[-1] == 7 and one != other and len(one) == 16
    assert len({rng.randbytes(16)[-1] for _ in range(64)}) > 1
    with ids_ending_with(None):
        assert len({rng.randbytes(16)[-1] for _ in range(64)}) > 1
