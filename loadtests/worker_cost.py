"""What load workers themselves cost: short loads on a null server of the master's host, dealt out to all of them as any load is."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec

from serveoff import storage
from serveoff.errors import ServeoffError
from serveoff.results import CellJob, ClientCost, ProfileChoice

from . import distributed, handover, measure
from .member import Member

_WINDOW_S = 0.5


def cost(job: CellJob, directory: Path, owner: Path) -> ClientCost:
    """`job` names the null server. One connection for each worker, then several. Raises ServeoffError when a load fails."""
    workers = job.plan.workers
    alone, together = (_latencies_ns(job, directory / str(each), owner, each * workers) for each in (1, handover.CALIBRATION_CONNECTIONS))
    if not alone or not together:
        raise ServeoffError("the load workers had no reply from the null server")
    return ClientCost(p50_us=statistics.median_low(alone) / 1000, reachable_rps=len(together) / _WINDOW_S / workers, requests=len(alone))


def _latencies_ns(job: CellJob, directory: Path, owner: Path, connections: int) -> list[int]:
    """Of all requests in the windows of all workers."""
    directory.mkdir(parents=True)
    load = ProfileChoice(name="closed", options={"users": connections, "duration_s": _WINDOW_S})
    return [ns for member in distributed.run(msgspec.structs.replace(job, profile=load), directory, owner) for ns in _seen_by(member)]


def _seen_by(member: Member) -> list[int]:
    if not member.finished:
        raise ServeoffError(member.lost)
    facts = storage.read(member.directory / handover.FACTS, handover.Facts)
    if facts.error_texts:
        raise ServeoffError(f"the null server failed {member.host}: {next(iter(facts.error_texts.values()))}")
    raw = measure.records(handover.unpack(member.directory / handover.RECORDS, handover.Columns))
    mine = raw.where((raw.due_ns >= facts.window_start_ns) & (raw.due_ns < facts.window_end_ns))
    found: list[int] = (mine.done_ns - mine.due_ns).tolist()
    return found
