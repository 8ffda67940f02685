"""Which cores the server and the client get, and how much CPU went where."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

_LOOK_S = 0.5


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


def _busy_s() -> float:
    """CPU seconds that all cores together have spent on anything, time stolen by the host included."""
    now = psutil.cpu_times()
    return float(sum(getattr(now, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal")))


def wait_for_quiet(limit_cores: float, patience_s: float) -> float:
    """Until everything on this machine has used less than `limit_cores` for half a second, or patience has ended. The seconds waited."""
    begun = time.monotonic()
    while time.monotonic() - begun < patience_s:
        busy, start = _busy_s(), time.monotonic()
        time.sleep(_LOOK_S)
        if (_busy_s() - busy) / (time.monotonic() - start) < limit_cores:
            break
    return time.monotonic() - begun


class Watch:
    """CPU seconds from now on: the server's, and everybody's who is neither the server nor we nor our finished clients."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server
        self._start = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        server = sum(t.user + t.system for t in (p.cpu_times() for p in tree(self._server)))
        own = os.times()
        return time.monotonic(), _busy_s(), server, own.user + own.system + own.children_user + own.children_system

    def stop(self) -> tuple[float, float]:
        """(CPU seconds of the server, cores used by others)."""
        then, now = self._start, self._read()
        elapsed, busy, server, own = (b - a for a, b in zip(then, now, strict=True))
        return server, max(0.0, (busy - server - own) / elapsed)
