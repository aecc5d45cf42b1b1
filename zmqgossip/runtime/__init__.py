"""The body that ships: ZeroMQ sockets, threads and the monotonic clock. Nothing above `core` decides what a peer says."""
