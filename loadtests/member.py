"""One share of a load: what its process left, or why it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serveoff.results import CellJob

from .profiles import resolve

_START_AND_STOP_S = 60
"""What a Locust process may take beside its load, on a very busy machine."""


@dataclass(frozen=True, slots=True)
class Member:
    """A load process that has ended, and the directory of its files. `lost`: why it left none; empty where it did."""

    directory: Path
    lost: str = ""
    here: bool = True
    """Whether it ran on this host, and used its processors."""
    opened_within_us: float | None = None
    """Of workers, which open their windows at one signal: the slowest answer to it."""
    host: str = ""
    """Of workers: where it ran."""

    @property
    def finished(self) -> bool:
        return not self.lost


def time_limit_s(job: CellJob) -> float:
    """After which a load process is taken for stuck."""
    return job.plan.warmup_limit_s + resolve(job.profile).duration_s + 2 * job.plan.timeout_s + _START_AND_STOP_S
