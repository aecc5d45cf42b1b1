"""What a process costs, looked at from outside so that looking does not disturb it: CPU time and memory."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path

KIB_A_MIB = 1024
LINUX = platform.system() == "Linux"


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the process has used, in all its threads, to the microsecond on Linux."""
    if not LINUX:
        return _seconds(_ps(pid, "time"))
    return time.clock_gettime(~pid << 3 | 2)  # the clock of another process, as clock_getcpuclockid() makes its number


def rss_mib(pid: int) -> float:
    """MiB of memory that it holds now."""
    return _status(pid, "VmRSS") if LINUX else int(_ps(pid, "rss")) / KIB_A_MIB


def rss_peak_mib(pid: int) -> float:
    """The most that it ever held; what it holds now where the system does not keep that."""
    return _status(pid, "VmHWM") if LINUX else rss_mib(pid)


def _status(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / KIB_A_MIB
    return 0.0


def _ps(pid: int, column: str) -> str:
    return subprocess.run(["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout.strip()


def _seconds(text: str) -> float:
    """`[[days-]hours:]minutes:seconds` as seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds + 86_400 * int(days or 0)
