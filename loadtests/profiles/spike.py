"""Open loop: a base rate, in the middle of the window a spike, then the base rate again. What a burst costs, and how soon it is over."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from . import Load, Option, connections, duration, evenly


class Spike:
    summary = "a base rate with a spike in the middle of the window"
    options = (
        Option("base_rps", 100, "requests/s", 0.1, 1_000_000),
        Option("spike_rps", 400, "requests/s", 0.1, 1_000_000),
        Option("spike_s", 1, "s", 0.1, 3600),
        connections("connections", 128),
        duration(8),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        base, peak, window_s = options["base_rps"], options["spike_rps"], options["duration_s"]
        length_s = min(options["spike_s"], window_s)
        begins_s = (window_s - length_s) / 2

        def arrivals(_: random.Random) -> Iterator[float]:
            yield from evenly(base, 0, begins_s)
            yield from evenly(peak, begins_s, begins_s + length_s)
            yield from evenly(base, begins_s + length_s)

        return Load(connections=int(options["connections"]), duration_s=window_s, arrivals=arrivals, steady=False)


PROFILE = Spike()
