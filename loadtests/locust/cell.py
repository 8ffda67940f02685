"""One measurement: read the job, load for as long as its profile says, write what was seen, end the process."""

from __future__ import annotations

import os
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment

from serveoff import affinity, storage
from serveoff.results import CellJob

from .. import handover, server_side
from ..baton import State
from ..profiles import resolve, share_of
from . import clock, live_stats
from .recorder import Recorder
from .users import LoadUser, Session


def prepare(job_file: Path) -> type[LoadUser]:
    """The user class for this job. When its users have all finished, results lie beside the job and the process ends."""
    job = storage.read(job_file, CellJob)
    load = resolve(job.profile)
    payloads = handover.unpack(job_file.parent / job.payloads, handover.Payloads)
    live_stats.install()
    if (job_file.parent / handover.BATON).exists():
        clock.follow(job_file.parent / handover.BATON).pid = os.getpid()

    def on_init(environment: Environment, **_: Any) -> None:
        environment.stats.total.use_response_times_cache = False  # for charts that nobody sees here; it costs time inside the window
        recorder = Recorder()
        CellUser.session = Session(job, payloads, load, recorder, partial(_agree, job, job_file.parent, recorder))
        gevent.spawn(_conclude, environment, CellUser.session, job, job_file.parent)

    events.init.add_listener(on_init)  # type: ignore[no-untyped-call]
    CellUser.wait_for = share_of(load.connections, job.share, job.shares)
    return CellUser


_ASK_AGAIN_S = 0.02
_OPENS_AFTER_NS = 50_000_000
"""From the server's answer about its counters to the window: what that cost it is over by then."""


_LAST_NS = 500_000_000
"""Of the warm-up, whose first requests are slow."""


class CellUser(LoadUser):
    abstract = False


def _conclude(environment: Environment, session: Session, job: CellJob, directory: Path) -> None:
    left = left_by(session)
    _say(State.DONE)
    if job.share == 0:
        server_side.save(job.target, directory / server_side.AFTER)
    live_stats.write_csv(environment, directory, handover.CSV, session.load.duration_s)
    handover.write_left(directory, left)
    assert environment.runner is not None
    environment.runner.quit()


def left_by(session: Session) -> handover.Left:
    """Wait for the end of the load. What was seen of it."""
    session.finished.wait()
    end_ns = clock.now_ns()
    session.close()
    meter = session.meter
    assert meter is not None, "no user leaves before the window has passed"
    meter.finish()
    errors = session.recorder.first_errors
    facts = handover.Facts(
        start_ns=session.start_ns,
        window_start_ns=session.window_start_ns,
        window_end_ns=session.window_end_ns,
        end_ns=end_ns,
        open_loop=session.load.arrivals is not None,
        unsent=session.unsent,
        connections=session.connections,
        opened_in_window=session.opened_in_window(),
        error_classes=tuple(errors),
        error_texts={meaning: error.words for meaning, error in errors.items()},
        cpu=meter.cpu,
        cpu_peak=meter.cpu_peak,
        hub_lag_p99_us=meter.hub_lag_p99_us,
        waited=meter.waited,
        cores=tuple(sorted(affinity.of(os.getpid()))) or None,
        warmed_up=session.warmed_up,
    )
    return handover.Left(columns=session.recorder.columns(), answers=session.sample.answers(), facts=facts)


def _say(state: State) -> None:
    """To the relay that this process is part of, if there is one."""
    if clock.baton is not None:
        clock.baton.state = state


def _agree(job: CellJob, directory: Path, recorder: Recorder) -> int:
    """Ask the server for its counters; say that this process is warm, and wait until all are. The load goes on meanwhile."""
    if job.share == 0:
        server_side.save(job.target, directory / server_side.BEFORE)
    if clock.baton is not None:
        clock.baton.latency_ns = round(statistics.median(recorder.good_since(clock.now_ns() - _LAST_NS) or [0]))
        _say(State.WARM)
        while not clock.baton.opened:
            gevent.sleep(_ASK_AGAIN_S)
    if job.shares == 1:
        return clock.now_ns() + _OPENS_AFTER_NS
    (directory / handover.WARM).touch()
    window = directory.parent / handover.WINDOW
    while not window.exists():
        gevent.sleep(_ASK_AGAIN_S)
    return int(window.read_text())
