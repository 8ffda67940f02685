"""What bench.fidelity has to reach, from the figures of its rounds. Pure functions."""

from __future__ import annotations

from bench.figures import Figure, Goal, figure, ratio
from loadtests.witnesses import Seen

SERVICE_MS = 5.0
RATE = 400.0
STALL_S = 2.0
STALL_WINDOW_S = 10


def stall_p99_us(rate: float, window_s: float) -> float:
    """The 99th percentile of an evenly spaced schedule whose server stops for STALL_S within the window, and then is as fast as before.

    A request that is due s seconds after the stall began has to wait STALL_S - s, so the slowest hundredth is due in its first
    window_s / 100 seconds.
    """
    slowest = round(rate * window_s) // 100
    return (STALL_S - slowest / rate) * 1e6 + SERVICE_MS * 1000


def goals(samples: dict[str, list[Seen]]) -> list[Goal]:
    def off(name: str, ours: str, other: str, field: str, limit: float) -> Goal:
        found = ratio([getattr(s, field) for s in samples[ours]], [getattr(s, field) for s in samples[other]])
        return Goal(name, "off by", _distance(found, 1.0), limit, rising=False)

    def apart(name: str, field: str, limit_ms: float) -> Goal:
        pairs = zip(samples["ours, 1"], samples["wrk, 1"], strict=True)
        found = figure([(getattr(a, field) - getattr(b, field)) / 1000 for a, b in pairs])
        return Goal(name, "ms apart", _distance(found, 0.0), limit_ms, rising=False)

    throughput = ratio([s.rps for s in samples["ours, 8"]], [s.rps for s in samples["wrk, 8"]])
    return [
        apart("concurrency 1, p50 against wrk", "p50_us", 0.1),
        apart("concurrency 1, p99 against wrk", "p99_us", 0.3),
        off("concurrency 8, p50 against wrk", "ours, 8", "wrk, 8", "p50_us", 0.05),
        off("concurrency 8, p99 against wrk", "ours, 8", "wrk, 8", "p99_us", 0.15),
        Goal("concurrency 8, throughput of wrk's", "times", throughput, 0.93, rising=True),
        off("400/s, p50 against h2load", "ours, 400/s", "h2load, 400/s", "p50_us", 0.05),
        off("400/s, p99 against h2load", "ours, 400/s", "h2load, 400/s", "p99_us", 0.15),
    ]


def stall_goals(stalled: dict[str, list[Seen]]) -> list[Goal]:
    due = stall_p99_us(RATE, STALL_WINDOW_S)
    ours, plain = ([seen.p99_us for seen in stalled[who]] for who in ("ours", "plain Locust"))
    off = _distance(figure([p99_us / due for p99_us in ours]), 1.0)
    return [
        Goal("2 s stall, our p99 against the schedule's", "off by", off, 0.05, rising=False),
        Goal("2 s stall, plain Locust's p99", "ms", figure([p99_us / 1000 for p99_us in plain]), 10.0, rising=False),
    ]


def _distance(found: Figure, centre: float) -> Figure:
    """How far the median is from where it should be; the ends of the rounds keep their sign."""
    return Figure(abs(found.median - centre), found.low - centre, found.high - centre, found.rounds)
