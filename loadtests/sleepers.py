"""Did the others sleep while a target was measured? Whoever should be paused and uses CPU time is awake, whatever its launcher said."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import psutil

from serveoff.errors import ServeoffError
from serveoff.launch import Target
from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace

from . import candidates

LEAST_CORES = 0.01
"""Below is what the clock's ticks (10 ms) can tell from nothing."""


class Sleepers:
    """All targets but these, from `with` to its end; also those that are started meanwhile."""

    def __init__(self, awake: Collection[Target], owner: Path) -> None:
        self._awake, self._workspace = awake, Workspace(owner)
        self.used: dict[str, float] = {}
        """Target id -> cores, of those that were awake; filled at the end. A target whose processes this host does not see is not there."""

    def __enter__(self) -> Sleepers:
        self._began, self._before = time.monotonic(), self._cpu_s()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._began
        for name, used_s in self._cpu_s().items():
            cores = (used_s - self._before.get(name, 0.0)) / seconds
            if cores > LEAST_CORES:
                self.used[name] = cores

    def _cpu_s(self) -> dict[str, float]:
        names = {target.id for target in self._awake}
        mine = frozenset[int]().union(*map(_pids, self._awake))  # a container engine's forwarders work for all
        return {t.id: _used_s(_pids(t) - mine) for t in candidates.recorded(self._workspace) if t.id not in names}


@lru_cache(maxsize=256)
def _pids(target: Target) -> frozenset[int]:
    """Looked for once: it costs 10 ms or more each, and who sleeps starts no process."""
    with contextlib.suppress(ServeoffError):  # a container that is gone
        return frozenset(LAUNCHERS.load(target.launcher).processes(target) or ())
    return frozenset()


def _used_s(pids: frozenset[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            used = psutil.Process(pid).cpu_times()
            total += used.user + used.system
    return total
