"""The load processes of one cell: one, or several that share the load. Each is a Locust of its own with a job of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil

from serveoff import process, storage
from serveoff.process import ChildResult
from serveoff.results import CellJob

from . import child, distributed, handover
from .member import Member, time_limit_s
from .profiles import resolve, share_of

_ASK_AGAIN_S = 0.02


def run(job: CellJob, directory: Path, owner: Path) -> list[Member]:
    """Load with as many processes or workers as the plan says, but none without a connection; return when all have ended."""
    if job.plan.workers:
        return distributed.run(job, directory, owner)
    connections = resolve(job.profile).connections
    shares = min(job.plan.load_processes, connections)
    if shares == 1:
        return [alone(job, directory, owner)]
    jobs = [msgspec.structs.replace(job, payloads=f"../{job.payloads}", share=share, shares=shares) for share in range(shares)]
    directories = [directory / str(share + 1) for share in range(shares)]
    for one, place in zip(jobs, directories, strict=True):
        place.mkdir()
        storage.write(place / handover.JOB, one)
    with ThreadPoolExecutor(shares) as pool:
        futures = [
            pool.submit(_run, one, share_of(connections, one.share, shares), place, owner)
            for one, place in zip(jobs, directories, strict=True)
        ]
        try:
            _open_window(futures, directories, directory / handover.WINDOW)
            return [_member(place, future.result()) for place, future in zip(directories, futures, strict=True)]
        except BaseException:  # Ctrl-C: nobody else would tell them
            _end(directories)
            raise


def alone(job: CellJob, directory: Path, owner: Path, *, turns: int = 1, cancelled: threading.Event | None = None) -> Member:
    """Load with one process. `turns`: it has every so manyth turn, and takes so many times as long."""
    storage.write(directory / handover.JOB, job)
    return _member(directory, _run(job, resolve(job.profile).connections, directory, owner, turns, cancelled))


def _run(
    job: CellJob, connections: int, directory: Path, owner: Path, turns: int = 1, cancelled: threading.Event | None = None
) -> ChildResult:
    users = str(connections)
    return process.run_child(
        child.command("locustfile.py", "--headless", "--only-summary", "--users", users, "--spawn-rate", users),
        env=child.environment(owner, directory / handover.JOB),
        log=directory / "locust.log",
        timeout_s=turns * time_limit_s(job),
        cwd=directory,
        cancelled=cancelled,
    )


def _member(directory: Path, ended: ChildResult) -> Member:
    if (directory / handover.FACTS).exists():
        return Member(directory)
    last = ended.tail.splitlines()[-1:] or ["it said nothing"]
    how = "took too long and was ended" if ended.timed_out else f"ended with exit code {ended.exit_code}"
    return Member(directory, f"the load process {how}: {last[0]}")


def _open_window(futures: Sequence[Future[ChildResult]], directories: Sequence[Path], window: Path) -> None:
    """Wait until every process is warm or dead, then tell them all when to begin."""
    while not all(future.done() or (place / handover.WARM).exists() for future, place in zip(futures, directories, strict=True)):
        time.sleep(_ASK_AGAIN_S)
    storage.write_bytes(window, str(time.monotonic_ns() + handover.OPENS_AFTER_NS).encode())


def _end(directories: Sequence[Path]) -> None:
    mine = {str(place / handover.JOB) for place in directories}
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if one.environ().get(handover.JOB_VARIABLE) in mine:
                process.end_tree(one.pid, grace_s=2)
