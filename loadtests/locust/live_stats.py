"""Locust's own statistics, made to agree with ours: its page, its JSON and its CSV.

Locust rounds to whole milliseconds below 100 ms and to two digits above: 0.4 ms is stored as 0 (locust/stats.py, bucket_response_time).
Of a measured load they count what run.json counts: the requests that were due in the window. Warm-up and tail go `aside`.
The console, which ends up in locust.log, counts the same, but prints whole milliseconds: its formats are in the middle of Locust's code.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import locust.stats
from locust.env import Environment
from locust.event import EventHook
from locust.stats import RequestStats, StatsCSV, StatsEntry

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


def aside() -> EventHook:
    """Takes requests as Locust's own event does, and at the same cost, so that the load is the same; nobody reads these statistics.

    Resetting Locust's at the window's start would not do: workers send theirs to the master every few seconds.
    """
    stats, event = RequestStats(use_response_times_cache=False), EventHook()  # type: ignore[no-untyped-call]

    def log(request_type: str, name: str, response_time: float, response_length: int, exception: Exception | None, **_: Any) -> None:
        stats.log_request(request_type, name, response_time, response_length)  # type: ignore[arg-type]  # as above
        if exception:
            stats.log_error(request_type, name, exception)

    event.add_listener(log)  # type: ignore[no-untyped-call]
    return event


def write_csv(environment: Environment, directory: Path, prefix: str, window_s: float) -> None:
    """Locust's statistics and failures files, written once: its own writer works every second, inside the measurement.

    Its rates are per second from the first user to the last reply; these are per second of the window.
    """
    total = environment.stats.total
    total.start_time = (total.last_request_timestamp or 0.0) - window_s
    report = PreciseCSV(environment, locust.stats.PERCENTILES_TO_REPORT)
    for name, write in (("stats", report.requests_csv), ("failures", report.failures_csv)):
        with (directory / f"{prefix}_{name}.csv").open("w", newline="", encoding="utf-8") as file:
            write(csv.writer(file))
