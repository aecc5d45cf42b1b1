"""A process of the bench, or of a simulation, does not outlive it."""

from __future__ import annotations

import os
import signal
import sys


def die_with(parent: int) -> None:
    """Asks the kernel for our end when whoever started us ends: a stopped process would not see that its pipe did. Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
