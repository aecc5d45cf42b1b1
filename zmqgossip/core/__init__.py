"""The protocol: a pure state machine. No clock, socket, thread, log or global random lives below this package."""
