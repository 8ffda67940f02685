"""Was a service level kept? A request that failed, or could not even be sent, was not answered in time: leaving it out would flatter."""

from __future__ import annotations

from serveoff.results import Measurement

from . import measure

LARGEST_UNSENT_SHARE = 0.01
"""A rate of which less than 99 % could be sent is not a rate that was kept, whatever the percentile asked for."""


def within(measurement: Measurement, percentile: float, limit_ms: float, largest_error_share: float) -> bool:
    """Whether this percentile of all requests that were due was answered within the limit, and few enough failed or were never sent."""
    failed = sum(measurement.errors.values())
    due = measurement.requests + measurement.unsent
    good = measurement.requests - failed
    if not good or failed > largest_error_share * measurement.requests or measurement.unsent > LARGEST_UNSENT_SHARE * due:
        return False
    share_of_good = percentile * due / good
    if share_of_good > 100:
        return False
    return measure.percentiles_us(measurement.latency_hdr, (share_of_good,))[share_of_good] <= limit_ms * 1000
