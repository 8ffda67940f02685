"""Open loop: independent arrivals, as those of many users who know nothing of each other; latency counts from when a request was due.

One seed gives one schedule, so every target and protocol sees the same arrivals, bursts and lulls included.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from . import Load, Option, connections, duration


class Poisson:
    summary = "independent arrivals at a mean rate over a bounded number of connections"
    options = (
        Option("rate_rps", 200, "requests/s", 0.1, 1_000_000),
        connections("connections", 64),
        duration(6),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        rate = options["rate_rps"]

        def arrivals(rng: random.Random) -> Iterator[float]:
            due_s = 0.0
            while True:
                due_s += rng.expovariate(rate)
                yield due_s

        return Load(connections=int(options["connections"]), duration_s=options["duration_s"], arrivals=arrivals)


PROFILE = Poisson()
