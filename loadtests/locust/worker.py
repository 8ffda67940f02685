"""A Locust worker: waits for the master, takes its share of one cell, sends back what it saw, and ends when the master says so."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

import gevent
import locust.runners
import msgspec
from gevent.event import AsyncResult
from locust.env import Environment
from locust.runners import WorkerRunner

from serveoff import affinity
from serveoff.results import CellJob

from .. import handover
from ..distributed import hello
from ..profiles import resolve, share_of
from . import live_stats
from .cell import CellUser, left_by
from .parcels import Parcels
from .recorder import Recorder
from .users import Session

_MASTER_SILENT_S = 10
"""A master that was killed says nothing; Locust would wait a minute, and the next cell with it."""


def main() -> None:
    """`python node.py worker HOST PORT`."""
    host, port = sys.argv[1:]
    locust.runners.MASTER_HEARTBEAT_TIMEOUT = _MASTER_SILENT_S
    live_stats.install()
    environment = Environment(user_classes=[CellUser])
    environment.stats.total.use_response_times_cache = False
    runner = environment.create_worker_runner(host, int(port))  # returns when the master has answered; asks for five minutes
    work = gevent.spawn(_work, runner, host)
    told_to_end = gevent.spawn(runner.greenlet.join)
    gevent.wait([work, told_to_end], count=1)
    if work.ready():
        work.get()  # raises what it raised
        told_to_end.join(_MASTER_SILENT_S)


def _work(runner: WorkerRunner, masters_host: str) -> None:
    parcels, window_ns, me = Parcels(runner), AsyncResult(), runner.client_id

    def on_open(**_: Any) -> None:
        window_ns.set(time.monotonic_ns() + handover.OPENS_AFTER_NS)
        runner.send_message(handover.OPENED)

    def agree() -> int:
        runner.send_message(handover.WARM)
        opens_ns: int = window_ns.get()
        return opens_ns

    runner.register_message(handover.OPEN, on_open)
    runner.send_message(handover.HELLO, msgspec.to_builtins(hello()))
    order = msgspec.msgpack.decode(parcels.wait(handover.ORDER, me), type=handover.Order)
    job = _as_seen_from_here(order.job, masters_host)
    if order.cores is not None:
        with contextlib.suppress(OSError):  # a container that was given others: the report has those that it used
            affinity.pin(os.getpid(), order.cores)
    load = resolve(job.profile)
    users = share_of(load.connections, job.share, job.shares)
    session = CellUser.session = Session(job, order.payloads, load, Recorder(), agree)
    CellUser.wait_for = users
    runner.start_worker({CellUser.__name__: users})
    parcels.send(handover.LEFT, msgspec.msgpack.encode(left_by(session)), me)


def _as_seen_from_here(job: CellJob, masters_host: str) -> CellJob:
    """What is at the master's own host is where we found the master."""
    ends = [msgspec.structs.replace(e, host=masters_host) if e.host == handover.MASTERS_HOST else e for e in job.target.endpoints]
    return msgspec.structs.replace(job, target=msgspec.structs.replace(job.target, endpoints=tuple(ends)))
