"""What the kernel counts for each thread (Linux): psutil has these for a process's first thread only, or not at all."""

from __future__ import annotations

import re
from pathlib import Path

_SWITCHES = re.compile(rb"^voluntary_ctxt_switches:\s*(\d+)\nnonvoluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


def waited_s(pid: int | str) -> dict[str, float] | None:
    """Thread -> seconds since it began that it was ready to run and had no CPU: what neighbours cost (`schedstat`).

    None where the kernel does not count it, or the process is gone.
    """
    try:
        return {
            f"{pid}/{thread.name}": int((thread / "schedstat").read_bytes().split()[1]) / 1e9
            for thread in Path("/proc", str(pid), "task").iterdir()
        }
    except (OSError, IndexError, ValueError):
        return None


def switches(pid: int) -> dict[str, tuple[int, int]]:
    """Thread -> how often it gave its core up, and how often that was taken from it; empty where nobody counts, or the process is gone."""
    try:
        found = {
            f"{pid}/{thread.name}": _SWITCHES.search((thread / "status").read_bytes()) for thread in Path(f"/proc/{pid}/task").iterdir()
        }
    except OSError:
        return {}
    return {thread: (int(match[1]), int(match[2])) for thread, match in found.items() if match}
