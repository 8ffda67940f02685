"""Who else was at work while a framework had its turn: on a busy machine one framework may suffer more than the other."""

from __future__ import annotations

import contextlib
import time

import psutil

MOST_CORES = 0.1
"""What others may use; a load test has the same limit (`loadtests.validity`)."""


class Neighbours:
    """Counts from its creation. `pids`: our own processes, besides this one."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = [psutil.Process().pid, *pids]
        self._started, self._busy_s, self._ours_s = time.monotonic(), _busy_s(), self._own_s()

    def cores(self) -> float:
        """CPU seconds per second that were neither idle nor ours."""
        ours = self._own_s() - self._ours_s
        return max(0.0, _busy_s() - self._busy_s - ours) / (time.monotonic() - self._started)

    def _own_s(self) -> float:
        used = 0.0
        for pid in self._pids:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                used += times.user + times.system
        return used


def _busy_s() -> float:
    now = psutil.cpu_times()
    return sum(getattr(now, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
