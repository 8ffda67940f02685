"""Locust's own statistics, made to agree with ours: its page, its CSV and its console.

Locust rounds to whole milliseconds below 100 ms and to two digits above: 0.4 ms is stored as 0 (locust/stats.py, bucket_response_time).
"""

from __future__ import annotations

import csv
from pathlib import Path

import locust.stats
from locust.env import Environment
from locust.stats import StatsCSV, StatsEntry

from .buckets import bucket


class PreciseCSV(StatsCSV):
    """Locust cuts percentiles to whole milliseconds in its CSV, whatever its buckets are."""

    def _percentile_fields(self, stats_entry: StatsEntry, use_current: bool = False) -> list[str] | list[int]:
        if not stats_entry.num_requests:
            return super()._percentile_fields(stats_entry, use_current)
        return [f"{stats_entry.get_response_time_percentile(p) or 0:.4g}" for p in self.percentiles_to_report]


def install() -> None:
    """Put our buckets in place of Locust's; needed in every process that runs users."""
    locust.stats.bucket_response_time = bucket  # type: ignore[assignment]  # declared as int; Locust's docs allow any number
    locust.stats.proper_round = _round  # type: ignore[assignment, attr-defined]  # least and most on its page and in its JSON
    locust.stats.PERCENTILES_TO_CHART = [0.5, 0.99]


def _round(milliseconds: float, digits: int = 0) -> float:
    """Microseconds are kept, however many digits Locust wants."""
    return round(milliseconds, max(3, digits))


def write_csv(environment: Environment, directory: Path, prefix: str) -> None:
    """Locust's statistics and failures files, written once: its own writer works every second, inside the measurement."""
    report = PreciseCSV(environment, locust.stats.PERCENTILES_TO_REPORT)
    for name, write in (("stats", report.requests_csv), ("failures", report.failures_csv)):
        with (directory / f"{prefix}_{name}.csv").open("w", newline="", encoding="utf-8") as file:
            write(csv.writer(file))
