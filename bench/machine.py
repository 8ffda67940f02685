"""Which cores the server and the client get, and how much CPU went where."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Cores:
    server: int
    client: int

    @property
    def separate(self) -> bool:
        return self.server != self.client


def cores() -> Cores:
    """Two cores of those we may use; on a machine with one, both are the same."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], client=allowed[-1])


def pinned(core: int, argv: Iterable[str]) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *argv]


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def resident_bytes(process: psutil.Process) -> int:
    total: int = sum(p.memory_info().rss for p in tree(process))
    return total


class Watch:
    """CPU seconds from now on: the server's, and everybody's who is neither the server nor we nor our finished clients."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server
        self._start = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        busy = psutil.cpu_times()
        stolen = getattr(busy, "steal", 0.0)
        all_busy = busy.user + busy.nice + busy.system + getattr(busy, "irq", 0.0) + getattr(busy, "softirq", 0.0) + stolen
        server = sum(t.user + t.system for t in (p.cpu_times() for p in tree(self._server)))
        own = os.times()
        return time.monotonic(), all_busy, server, own.user + own.system + own.children_user + own.children_system

    def stop(self) -> tuple[float, float]:
        """(CPU seconds of the server, cores used by others)."""
        then, now = self._start, self._read()
        elapsed, busy, server, own = (b - a for a, b in zip(then, now, strict=True))
        return server, max(0.0, (busy - server - own) / elapsed)
