"""What this machine did while a load ran, sampled from outside: in a load process a scan of all processes would stall the event loop.

Sums of all processes are not needed: what is neither the target's nor the load's is the total less these two. Nobody escapes that way.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from serveoff import affinity
from serveoff.launch import Target
from serveoff.registry import LAUNCHERS
from serveoff.surroundings import Surroundings, Usage

from . import threads
from .handover import Facts
from .usage import Gauge, Reading, usage

_EVERY_S = 0.25
_SAMPLES_PER_SCAN = 8
"""New processes of the target are looked for every so many samples: a scan costs 5 ms or more, a sample 0.1 ms."""


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds since some moment in the past, all cores together; `target_s` is None where its processes cannot be seen."""

    at_ns: int
    busy_s: float
    idle_s: float
    stolen_s: float
    target_s: float | None
    waited_s: float | None = None
    """How long the target's threads had to wait for a CPU."""
    used: Reading | None = None


class Sampler:
    """Takes samples of a target and of this host when it is asked to."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._missed = (0.0, 0.0, 0.0)
        self._processes: dict[int, psutil.Process] | None = {}
        self._gauge = Gauge(container=target.container is not None)
        self._waited: dict[str, float] | None = {}
        """Thread -> seconds it waited, also of threads that have ended since."""
        self.samples: list[Sample] = []
        self.cores: tuple[int, ...] | None = None
        """Those that the target could run on."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the target's processes, as far as they have been seen."""
        return tuple(self._processes or ())

    def take(self, at_ns: int | None = None) -> None:
        """`at_ns`: by the clock of a load process that is held at times; else it is the monotonic clock."""
        if len(self.samples) % _SAMPLES_PER_SCAN == 0:
            self.scan()
        self.samples.append(self._sample(time.monotonic_ns() if at_ns is None else at_ns))

    def miss(self) -> None:
        """What this host did since the last sample does not count: the target was held."""
        if self.samples:
            last, (busy, idle, stolen) = self.samples[-1], _host()
            self._missed = busy - last.busy_s, idle - last.idle_s, stolen - last.stolen_s

    def scan(self) -> None:
        """Look for new processes of the target."""
        pids = LAUNCHERS.load(self._target.launcher).processes(self._target)
        if pids is None or self._processes is None:
            self._processes = None
            return
        for pid in pids:
            if pid not in self._processes:
                with contextlib.suppress(psutil.Error):
                    self._processes[pid] = psutil.Process(pid)
        if affinity.supported():
            self.cores = tuple(sorted(frozenset().union(*map(affinity.of, pids)))) or self.cores

    def _sample(self, at_ns: int) -> Sample:
        used = None if self._processes is None else self._gauge.read(self._processes)
        for pid in self._processes or {}:
            self._add_waits(pid)
        busy, idle, stolen = (now - missed for now, missed in zip(_host(), self._missed, strict=True))
        return Sample(
            at_ns,
            busy,
            idle,
            stolen,
            None if used is None else self._gauge.cpu_s,
            None if used is None or self._waited is None else sum(self._waited.values()),
            used,
        )

    def _add_waits(self, pid: int) -> None:
        if self._waited is not None and (found := threads.waited_s(pid)) is not None:
            self._waited |= found


class Watch(Sampler):
    """Samples from `with` to its end."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        _yield_to_all()
        while not self._stop.is_set():
            self.take()
            self._stop.wait(_EVERY_S)
        self.scan()
        self.take()


def _yield_to_all() -> None:
    """On the load's core, each scan made a request or two up to 5 ms late. Not SCHED_IDLE: where cores are burned it never ran."""
    if sys.platform == "linux":  # where niceness is each thread's own
        with contextlib.suppress(OSError):  # a sandbox may forbid it: then the load is a little later, and still watched
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _host() -> tuple[float, float, float]:
    """CPU seconds of this host since it started: busy, idle, stolen."""
    now = psutil.cpu_times()
    busy = sum(getattr(now, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
    return busy, now.idle + getattr(now, "iowait", 0.0), getattr(now, "steal", 0.0)


def surroundings(facts: Sequence[Facts], samples: Sequence[Sample], cores: tuple[int, ...] | None = None) -> Surroundings:
    """What happened in the window of these load processes, while the target could run on `cores`."""
    window_ns = (facts[0].window_start_ns, facts[0].window_end_ns)
    peak, lag = max(f.cpu_peak for f in facts), max(f.hub_lag_p99_us for f in facts)
    seconds = (window_ns[1] - window_ns[0]) / 1e9
    used = _between(samples, *window_ns)
    if used is None:
        return Surroundings(client_cpu_peak=peak, hub_lag_p99_us=lag)
    total = used.busy_s + used.idle_s + used.stolen_s
    ours = None if used.target_s is None else used.target_s + sum(f.cpu for f in facts) * seconds
    waiting = None
    if ours is not None and used.waited_s is not None and all(f.waited is not None for f in facts):
        waited = used.waited_s + sum(f.waited or 0.0 for f in facts) * seconds
        waiting = waited / (waited + ours) if waited + ours else 0.0
    return Surroundings(
        client_cpu_peak=peak,
        hub_lag_p99_us=lag,
        target_cpu=None if used.target_s is None else used.target_s / seconds,
        other_cpu=None if ours is None else max(0.0, used.busy_s - ours) / seconds,
        idle_cpu=used.idle_s / seconds,
        waiting=waiting,
        stolen_cpu=used.stolen_s / total if total else None,
        target_cores=cores,
        client_cores=None if any(f.cores is None for f in facts) else tuple(sorted({core for f in facts for core in f.cores or ()})),
        usage=_usage(samples, *window_ns),
    )


def _between(samples: Sequence[Sample], start_ns: int, end_ns: int) -> Sample | None:
    """The difference of two samples, each interpolated; None when the window was not watched."""
    if len(samples) < 2 or samples[0].at_ns > start_ns or samples[-1].at_ns < end_ns:
        return None

    def at(moment_ns: int) -> list[float | None]:
        after = next(i for i, s in enumerate(samples) if s.at_ns >= moment_ns)
        one, other = samples[max(0, after - 1)], samples[after]
        part = 0.0 if one is other else (moment_ns - one.at_ns) / (other.at_ns - one.at_ns)
        pairs = zip(_counters(one), _counters(other), strict=True)
        return [None if a is None or b is None else a + part * (b - a) for a, b in pairs]

    busy, idle, stolen, target, waited = (None if a is None or b is None else b - a for a, b in zip(at(start_ns), at(end_ns), strict=True))
    assert busy is not None
    assert idle is not None
    assert stolen is not None
    return Sample(end_ns, busy, idle, stolen, target, waited)


def _usage(samples: Sequence[Sample], start_ns: int, end_ns: int) -> Usage | None:
    """From the samples around the window and those in it; its counters at the edges are interpolated."""
    first = max(i for i, s in enumerate(samples) if s.at_ns <= start_ns)
    last = next(i for i, s in enumerate(samples) if s.at_ns >= end_ns)
    during = [s.used for s in samples[first : last + 1] if s.used is not None]
    if len(during) <= last - first or last == first:
        return None
    at = [s.at_ns for s in samples[first : last + 1]]
    return usage(during, at, start_ns, end_ns)


def _counters(sample: Sample) -> tuple[float, float, float, float | None, float | None]:
    return sample.busy_s, sample.idle_s, sample.stolen_s, sample.target_s, sample.waited_s
