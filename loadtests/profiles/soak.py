"""Open loop for a long time at a moderate rate: leaks, fragmentation and slow drifts. A drift makes the cell INVALID and says how much."""

from __future__ import annotations

from collections.abc import Mapping

from . import Load, Option, connections, duration
from .poisson import PROFILE as POISSON


class Soak:
    summary = "independent arrivals at a moderate rate for long"
    options = (
        Option("rate_rps", 100, "requests/s", 0.1, 1_000_000),
        connections("connections", 64),
        duration(600),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        return POISSON.load(options)


PROFILE = Soak()
