"""Open loop: requests fall due at a constant rate, whatever the server does; latency counts from when a request was due."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from . import Load, Option, connections, duration, evenly


class Constant:
    summary = "one request every 1/rate seconds over a bounded number of connections"
    options = (
        Option("rate_rps", 200, "requests/s", 0.1, 1_000_000),
        connections("connections", 32),
        duration(5.5),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        rate = options["rate_rps"]

        def arrivals(_: random.Random) -> Iterator[float]:
            return evenly(rate, 0)

        return Load(connections=int(options["connections"]), duration_s=options["duration_s"], arrivals=arrivals)


PROFILE = Constant()
