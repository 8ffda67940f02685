"""What the kernel says of a container as a whole: the files of its cgroup (version 2, else 1), found through one of its processes."""

from __future__ import annotations

from collections.abc import Mapping
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
        lines = [line.split(":", 2) for line in (proc / str(pid) / "cgroup").read_text().splitlines()]
        below = {controller: path.strip("/") for _, controllers, path in lines for controller in controllers.split(",")}
    except (OSError, ValueError):
        return None
    return _version_2(groups, below) or _version_1(groups, below)


def _version_2(groups: Path, below: Mapping[str, str]) -> Group | None:
    if not below.get(""):
        return None
    group = groups / below[""]
    try:
        stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        return Group(int(stat["usage_usec"]) / 1e6, int((group / "memory.current").read_text()), _peak(group))
    except (OSError, ValueError, KeyError):
        return None


def _version_1(groups: Path, below: Mapping[str, str]) -> Group | None:
    """Each controller has a tree of its own there."""
    if not (below.get("cpuacct") and below.get("memory")):
        return None
    cpu, memory = groups / "cpuacct" / below["cpuacct"], groups / "memory" / below["memory"]
    try:
        used_ns, now, peak = (
            int(file.read_text())
            for file in (cpu / "cpuacct.usage", memory / "memory.usage_in_bytes", memory / "memory.max_usage_in_bytes")
        )
    except (OSError, ValueError):
        return None
    return Group(used_ns / 1e9, now, peak)


def _peak(group: Path) -> int | None:
    try:
        return int((group / "memory.peak").read_text())
    except FileNotFoundError:
        return None
