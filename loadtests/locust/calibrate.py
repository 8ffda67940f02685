"""`calibrate JOBS RESULT`: short loads on the null server, one after the other, by what a cell's load process does in its Locust users."""

from __future__ import annotations

import sys
from pathlib import Path

import gevent
from locust.env import Environment

from serveoff import storage
from serveoff.errors import ServeoffError
from serveoff.results import CellJob, ClientCost

from .. import handover
from ..profiles import Load
from . import live_stats
from .recorder import Recorder
from .users import Session

WINDOW_S = 0.25
_LOOK_S = 0.01


def main() -> None:
    jobs, result = Path(sys.argv[1]), Path(sys.argv[2])
    live_stats.install()
    costs = []
    for job in storage.read(jobs, handover.Calibrations).jobs:
        payloads = handover.unpack(Path(job.payloads), handover.Payloads)
        alone, together = _latencies_ns(job, payloads, 1), _latencies_ns(job, payloads, handover.CALIBRATION_CONNECTIONS)
        costs.append(ClientCost(p50_us=alone[len(alone) // 2] / 1000, reachable_rps=len(together) / WINDOW_S, requests=len(alone)))
    storage.write(result, handover.Costs(costs=tuple(costs)))


def _latencies_ns(job: CellJob, payloads: handover.Payloads, connections: int) -> list[int]:
    """Of the requests in the window, in ascending order."""
    environment = Environment()
    environment.create_local_runner()  # it keeps Locust's statistics
    session = Session(job, payloads, Load(connections=connections, duration_s=WINDOW_S), Recorder())
    users = [gevent.spawn(_use, session, environment, connections) for _ in range(connections)]
    while session.meter is None:
        gevent.sleep(_LOOK_S)
    session.meter.finish()
    session.stop_ns = 0  # nobody needs the tail that keeps a window's end as busy as its middle
    gevent.joinall(users, raise_error=True)
    session.close()
    if session.recorder.first_errors:
        raise ServeoffError(f"the null server failed: {next(iter(session.recorder.first_errors.values()))}")
    return sorted(session.recorder.good_since(session.window_start_ns))


def _use(session: Session, environment: Environment, connections: int) -> None:
    number, client = session.join()
    if session.joined == connections:
        session.begin()
    session.drive(environment, number, client)
    session.leave(client)
