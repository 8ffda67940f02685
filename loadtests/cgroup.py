"""What the kernel says of a container as a whole: the files of its cgroup (version 2), found through one of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUPS, PROC = Path("/sys/fs/cgroup"), Path("/proc")


@dataclass(frozen=True, slots=True)
class Group:
    """Since the container began: CPU seconds, the highest memory (None before Linux 5.19). Now: memory, with its page cache."""

    cpu_s: float
    memory_bytes: int
    memory_peak_bytes: int | None


def read(pid: int, groups: Path = GROUPS, proc: Path = PROC) -> Group | None:
    """The group of this process; None where there is none of its own, or it does not count."""
    try:
        below = (proc / str(pid) / "cgroup").read_text().rpartition("0::/")[2].strip()
        if not below:
            return None
        group = groups / below
        stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        return Group(int(stat["usage_usec"]) / 1e6, int((group / "memory.current").read_text()), _peak(group))
    except (OSError, ValueError, KeyError):
        return None


def _peak(group: Path) -> int | None:
    try:
        return int((group / "memory.peak").read_text())
    except FileNotFoundError:
        return None
