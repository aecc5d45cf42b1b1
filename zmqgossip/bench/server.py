"""The beginning of a server that is no program of ours: it becomes it, and ends with the bench."""

from __future__ import annotations

import os
import sys

from zmqgossip.bench.ending import die_with

if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
