"""How long threads were ready to run and had no CPU: the kernel's own account of what neighbours cost (`/proc/*/schedstat`, Linux)."""

from __future__ import annotations

from pathlib import Path


def waited_s(pid: int | str) -> dict[str, float] | None:
    """Thread -> seconds it has waited for a CPU since it began; None where the kernel does not count it, or the process is gone."""
    try:
        return {
            f"{pid}/{thread.name}": int((thread / "schedstat").read_bytes().split()[1]) / 1e9
            for thread in Path("/proc", str(pid), "task").iterdir()
        }
    except (OSError, IndexError, ValueError):
        return None
