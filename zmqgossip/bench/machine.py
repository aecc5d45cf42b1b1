"""What a figure was measured with: without that it says nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import zmq


def machine() -> dict[str, str | int]:
    """Versions, the processor's kind and how many cores this process may use."""
    try:
        own = version("zmqgossip")
    except PackageNotFoundError:
        own = "(not installed)"
    return {
        "zmqgossip": own,
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
    }
