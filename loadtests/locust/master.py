"""The Locust master of one cell: deals the load out to its workers, opens their windows at one signal, and collects what they saw.

Exact is every latency: due, sent and done are of one clock. Where the windows of two hosts lie to each other is not: each host opens its
own when the signal comes. How far apart they may be is bounded by the slowest answer to that signal, which is recorded.
Locust's runners bring connections, heartbeats and the figures of its own; users are dealt out by us, so that a worker that comes or goes
in the middle changes nobody's share.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from serveoff import affinity, storage
from serveoff.results import CellJob

from .. import handover, server_side
from ..distributed import address, hello, named, versions
from ..profiles import resolve
from . import live_stats
from .parcels import Parcels

_ASK_AGAIN_S = 0.02


class Master:
    def __init__(self, runner: MasterRunner, job: CellJob, directory: Path, wait_s: float) -> None:
        self._runner, self._job, self._directory, self._wait_s = runner, job, directory, wait_s
        self._parcels = Parcels(runner)
        self._hellos: dict[str, handover.Hello] = {}
        self._warm: set[str] = set()
        self._opened_ns = 0
        self._answered_ns: dict[str, int] = {}
        self._lost: dict[str, str] = {}
        for name, listener in ((handover.HELLO, self._on_hello), (handover.WARM, self._on_warm), (handover.OPENED, self._on_opened)):
            runner.register_message(name, listener)

    def conduct(self) -> handover.Workers:
        """The whole cell. What each worker left lies in a directory of its own, named by its number."""
        ids, missing = self._gather()
        members = [self._hellos[one] for one in ids]
        other = next((each for each in members if each.versions != versions()), None)
        if other is not None or len(ids) < self._job.plan.workers:
            refused = f"the load worker on {other.host} has {other.versions}, here it is {versions()}" if other else ""
            return handover.Workers(came=len(ids), missing=missing, refused=refused)
        payloads = handover.unpack(self._directory / self._job.payloads, handover.Payloads)
        for share, one in enumerate(ids):
            job = msgspec.structs.replace(self._job, share=share, shares=len(ids))
            order = msgspec.msgpack.encode(handover.Order(job=job, payloads=payloads, cores=self._cores_for(members[share])))
            gevent.spawn(self._parcels.send, handover.ORDER, order, one)
        self._until(ids, self._warm.__contains__)
        server_side.save(self._job.target, self._directory / server_side.BEFORE)
        self._open(ids)
        self._until(ids, lambda one: self._parcels.has(handover.LEFT, one))
        server_side.save(self._job.target, self._directory / server_side.AFTER)
        for share, one in enumerate(ids, start=1):
            if one not in self._lost:
                left = msgspec.msgpack.decode(self._parcels.wait(handover.LEFT, one), type=handover.Left)
                handover.write_left(self._directory / str(share), left)
        spread_ns = max((answered - self._opened_ns for answered in self._answered_ns.values()), default=0)
        workers = tuple(
            handover.Worker(host=who.host, boot=who.boot, lost=self._lost.get(one, "")) for one, who in zip(ids, members, strict=True)
        )
        return handover.Workers(came=len(ids), members=workers, spread_us=spread_ns / 1000)

    def _gather(self) -> tuple[list[str], tuple[str, ...]]:
        """The ids of the workers that are wanted, or fewer when the time is over; the hosts, where they were named, from which none came.

        Whoever else comes has nothing to do.
        """
        deadline, plan = time.monotonic() + self._wait_s, self._job.plan
        while True:
            here = {one: who for one, who in self._hellos.items() if one in self._runner.clients}
            chosen = named(plan.worker_hosts, here) if plan.worker_hosts else [*sorted(here)[: plan.workers]]
            ids = [one for one in chosen if one is not None]
            if len(ids) == plan.workers or time.monotonic() > deadline:
                return ids, tuple(host for host, one in zip(plan.worker_hosts, chosen, strict=False) if one is None)
            gevent.sleep(_ASK_AGAIN_S)

    def _cores_for(self, worker: handover.Hello) -> tuple[int, ...] | None:
        """A worker on this host shares it with the targets, and keeps to the cores that we were left with; another host is all its own."""
        return affinity.usable() if affinity.supported() and worker.boot == hello().boot else None

    def _open(self, ids: list[str]) -> None:
        self._opened_ns = time.monotonic_ns()
        for one in ids:
            if one not in self._lost:
                self._runner.send_message(handover.OPEN, client_id=one)
        self._until(ids, self._answered_ns.__contains__)
        storage.write_bytes(self._directory / handover.WINDOW, str(self._opened_ns + handover.OPENS_AFTER_NS).encode())

    def _until(self, ids: list[str], done: Callable[[str], bool]) -> None:
        """Wait until this is true of every worker that is not lost. Who was lost once stays so: its share of the load is missing."""
        while True:
            for one in ids:
                node = self._runner.clients.get(one)
                if one not in self._lost and (node is None or node.state == STATE_MISSING) and not done(one):
                    how = "ended" if node is None else "gave no sign of life for 3 s"
                    self._lost[one] = f"the load worker on {self._hellos[one].host} {how} in the middle of the load"
            if all(one in self._lost or done(one) for one in ids):
                return
            gevent.sleep(_ASK_AGAIN_S)

    def _on_hello(self, msg: Any, **_: Any) -> None:
        self._hellos[msg.node_id] = msgspec.convert(msg.data, handover.Hello)

    def _on_warm(self, msg: Any, **_: Any) -> None:
        self._warm.add(msg.node_id)

    def _on_opened(self, msg: Any, **_: Any) -> None:
        self._answered_ns[msg.node_id] = time.monotonic_ns()


def main() -> None:
    """`SERVEOFF_LOAD_JOB=job.json python node.py master WAIT_S`: one cell, then the end."""
    job_file = Path(os.environ[handover.JOB_VARIABLE])
    job = storage.read(job_file, CellJob)
    here = gevent.getcurrent()
    gevent.signal_handler(signal.SIGTERM, lambda: here.throw(KeyboardInterrupt))
    live_stats.install()
    environment = Environment()
    runner = environment.create_master_runner(*address(job.plan.master))
    try:
        workers = Master(runner, job, job_file.parent, float(sys.argv[1])).conduct()
    finally:
        runner.quit()  # frees the workers for the next cell; their last figures come meanwhile
    live_stats.write_csv(environment, job_file.parent, handover.CSV, resolve(job.profile).duration_s)
    storage.write(job_file.parent / handover.WORKERS, workers)
