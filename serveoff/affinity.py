"""On which cores a process may run: of all its threads, which is what Linux keeps (`taskset`), and other systems do not have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

_PASSES = 20
_TOPOLOGY = Path("/sys/devices/system/cpu")


def supported() -> bool:
    return hasattr(os, "sched_setaffinity")


def usable() -> tuple[int, ...]:
    """The cores that this process may run on, hardware threads of one core beside each other."""
    return tuple(sorted(os.sched_getaffinity(0), key=lambda core: (siblings(core), core)))


def siblings(core: int, topology: Path = _TOPOLOGY) -> tuple[int, ...]:
    """The hardware threads that share one core; only itself where the system does not say."""
    try:
        text = (topology / f"cpu{core}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        return (core,)
    return numbers(text)


def numbers(text: str) -> tuple[int, ...]:
    """Cores as the kernel and `taskset` write them, e.g. `0-3,6`. Raises ValueError."""
    spans = (part.partition("-") for part in text.split(","))
    return tuple(sorted({core for first, dash, last in spans for core in range(int(first), int(last if dash else first) + 1)}))


def of(pid: int) -> frozenset[int]:
    """The cores that the threads of a process may run on; none for one that has ended."""
    cores: set[int] = set()
    for thread in _threads(pid):
        with contextlib.suppress(OSError):
            cores |= os.sched_getaffinity(thread)
    return frozenset(cores)


def pin(pid: int, cores: Collection[int]) -> None:
    """Let every thread of a process run on these cores only; what it starts later inherits that. One that has ended is not an error.

    Raises OSError where the system refuses.
    """
    wanted, done = set(cores), set[int]()
    for _ in range(_PASSES):  # a thread that is not pinned yet may start another meanwhile
        new = set(_threads(pid)) - done
        if not new:
            return
        for thread in new:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, wanted)
        done |= new


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
