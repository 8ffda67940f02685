"""Several load processes and their targets by turns of a fraction of a second, all others held: stopped, the load before its target.

A shared host is fast for one second and slow for the next. Two rows that are measured one after the other meet different hosts; by turns
they meet the same one (`python -m bench.verdicts` with `--turn 0` and without shows by how much that narrows a ratio). The clock of a load
process stands still while it is held, so everything that it measures is of its own turns. A request in flight at the end of a turn goes on
in the next one. What a target only waits for, such as a timer, goes on meanwhile: in one of so many requests as fit into a turn.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType

from serveoff.results import CellJob

from . import baton, crew, handover
from .baton import State
from .member import Member
from .profiles import resolve
from .watch import Sampler

LATENCIES_A_TURN = 10
"""A turn is at least so many times the slowest target's median latency: of a connection's requests one in so many spans two turns."""
FEWEST_TURNS = 5
"""But each row has at least so many of them, or there would be no turns."""
_LOOK_S = 0.02


class Leg:
    """One load process and its target."""

    def __init__(self, job: CellJob, directory: Path, start: Callable[[], Member], pool: ThreadPoolExecutor) -> None:
        self.job, self.directory = job, directory
        self.sampler = Sampler(job.target)
        self.sampler.scan()
        self._baton = baton.make(directory / handover.BATON)
        self._future = pool.submit(start)
        self._since_ns: int | None = None

    @property
    def over(self) -> bool:
        return self._future.done()

    @property
    def member(self) -> Member:
        """Waits for the load process to end."""
        return self._future.result()

    @property
    def latency_s(self) -> float:
        """The median at the end of its warm-up."""
        return self._baton.latency_ns / 1e9

    @property
    def duration_s(self) -> float:
        """Of its window."""
        return resolve(self.job.profile).duration_s

    def warm_up(self) -> None:
        """Return when it is warm, or has ended."""
        while not self.over and self._baton.state == State.STARTING:
            wait([self._future], _LOOK_S)

    def open(self) -> None:
        self._baton.opened = 1

    def turn(self, seconds: float) -> None:
        """Let it go for so long; one whose load is over ends."""
        self._go()
        wait([self._future], seconds)
        if self._baton.state == State.DONE:
            wait([self._future])
        self.hold()

    def hold(self) -> None:
        """Its target is held also when the load is over: others have turns yet."""
        self._signal(signal.SIGSTOP)
        self._since_ns = time.monotonic_ns()
        _signal(self.sampler.pids, signal.SIGSTOP)
        self.sampler.take(self._since_ns - self._baton.held_ns)
        _signal(self.sampler.pids, signal.SIGSTOP)  # also those that it has just found

    def _go(self) -> None:
        _signal(self.sampler.pids, signal.SIGCONT)
        if self._since_ns is not None:
            self.sampler.miss()
            self._baton.held_ns += time.monotonic_ns() - self._since_ns
            self._since_ns = None
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if not self.over and self._baton.pid:
            _signal([self._baton.pid], number)


class Relay:
    """Add legs one after the other, while all others are held; then run. At its end no load process is left."""

    def __init__(self, legs: int, turn_s: float, seed: int, owner: Path) -> None:
        self.turn_s, self._seed, self._owner = turn_s, seed, owner
        self._pool, self._most = ThreadPoolExecutor(legs), legs
        self._cancelled = threading.Event()
        self.legs: list[Leg] = []

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._cancelled.set()
        self._pool.shutdown()

    def add(self, job: CellJob, directory: Path) -> Leg:
        """Start loading a target that is awake; it is held when it is warm."""

        def start() -> Member:
            return crew.alone(job, directory, self._owner, turns=self._most, cancelled=self._cancelled)

        leg = Leg(job, directory, start, self._pool)
        self.legs.append(leg)
        leg.warm_up()
        leg.hold()
        return leg

    def run(self) -> None:
        """Open all windows, and go on to the end of all. The order of the turns is drawn anew each time."""
        wanted_s = max((LATENCIES_A_TURN * leg.latency_s for leg in self.legs), default=0)
        self.turn_s = max(self.turn_s, min([wanted_s, *(leg.duration_s / FEWEST_TURNS for leg in self.legs)]))
        for leg in self.legs:
            leg.open()
        rng = random.Random(self._seed)  # noqa: S311 - an order, no secret
        while running := [leg for leg in self.legs if not leg.over]:
            for leg in rng.sample(running, len(running)):
                leg.turn(self.turn_s)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
