"""The handles that programs hold: Peer and Seed, sync and async, with what comes out of them."""
