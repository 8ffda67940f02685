"""Open loop: the rate climbs in equal steps through the window. Where latency leaves the floor, and whether the server keeps up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from . import Load, Option, connections, duration, evenly


class Steps:
    summary = "a constant rate that climbs from start_rps to end_rps in equal steps"
    options = (
        Option("start_rps", 50, "requests/s", 0.1, 1_000_000),
        Option("end_rps", 250, "requests/s", 0.1, 1_000_000),
        Option("steps", 5, "steps", 2, 1000, whole=True),
        connections("connections", 64),
        duration(10),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        first, last, steps = options["start_rps"], options["end_rps"], int(options["steps"])
        length_s = options["duration_s"] / steps
        rates = [first + (last - first) * step / (steps - 1) for step in range(steps)]

        def arrivals(_: random.Random) -> Iterator[float]:
            for step, rate in enumerate(rates):
                yield from evenly(rate, step * length_s, (step + 1) * length_s)
            yield from evenly(last, steps * length_s)

        return Load(connections=int(options["connections"]), duration_s=options["duration_s"], arrivals=arrivals, steady=False)


PROFILE = Steps()
