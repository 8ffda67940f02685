"""What a target uses: CPU time, memory, threads, context switches. Of a container the kernel's own sums, where it has them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from serveoff.surroundings import Usage

from . import cgroup, threads


@dataclass(frozen=True, slots=True)
class Reading:
    """Counted since the target began, processes that have ended included: `cpu_s`, switches. As it is now: memory, processes, threads."""

    cpu_s: float
    memory_bytes: int
    processes: int
    threads: int
    voluntary: int | None = None
    involuntary: int | None = None
    memory_peak_bytes: int | None = None
    """The highest that the kernel has ever seen, where it keeps that."""


class Gauge:
    """Reads one target again and again. `container`: it is one, and the first of its processes runs in it."""

    def __init__(self, *, container: bool) -> None:
        self._container = container
        self._cpu_s: dict[int, float] = {}
        self._switches: dict[str, tuple[int, int]] = {}

    @property
    def cpu_s(self) -> float:
        """Of all processes that were ever seen."""
        return sum(self._cpu_s.values())

    def read(self, processes: Mapping[int, psutil.Process]) -> Reading:
        memory_bytes = alive = running = 0
        for pid, process in processes.items():
            with contextlib.suppress(psutil.Error), process.oneshot():
                used = process.cpu_times()
                self._cpu_s[pid] = used.user + used.system
                memory_bytes += process.memory_info().rss
                running += process.num_threads()
                alive += 1
                self._switches |= threads.switches(pid)
        voluntary, involuntary = (sum(each) for each in zip(*self._switches.values(), strict=True)) if self._switches else (None, None)
        group = cgroup.read(next(iter(processes))) if self._container and processes else None
        if group is None:
            return Reading(self.cpu_s, memory_bytes, alive, running, voluntary, involuntary)
        return Reading(group.cpu_s, group.memory_bytes, alive, running, voluntary, involuntary, group.memory_peak_bytes)


def usage(during: Sequence[Reading], at_ns: Sequence[int], start_ns: int, end_ns: int) -> Usage:
    """Between two moments; the first and the last reading are those around them. What is counted is interpolated at both ends."""
    import numpy as np

    def counted(figures: Sequence[float | None]) -> float | None:
        known = [figure for figure in figures if figure is not None]
        return float(np.diff(np.interp((start_ns, end_ns), at_ns, known))[0]) if len(known) == len(figures) else None

    def whole(figures: Sequence[float | None]) -> int | None:
        found = counted(figures)
        return None if found is None else round(found)

    peak = max(reading.memory_bytes for reading in during)
    before, after = during[0].memory_peak_bytes, during[-1].memory_peak_bytes
    if before is not None and after is not None and after > before:  # it was reached meanwhile, between two samples
        peak = max(peak, after)
    return Usage(
        cpu_s=counted([reading.cpu_s for reading in during]) or 0.0,
        memory_mean_bytes=sum(reading.memory_bytes for reading in during) / len(during),
        memory_peak_bytes=peak,
        processes=max(reading.processes for reading in during),
        threads=max(reading.threads for reading in during),
        voluntary_switches=whole([reading.voluntary for reading in during]),
        involuntary_switches=whole([reading.involuntary for reading in during]),
    )
