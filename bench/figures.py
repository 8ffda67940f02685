"""Figures over rounds: medians with their spread, ratios taken within a round, goals met or missed. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One cell in one round. `refused` counts replies with an error status, `broken` failed connections and time-outs."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    refused: int = 0
    broken: int = 0
    server_cpu_us: float = 0.0
    """CPU time of the server per request."""
    foreign_cores: float = 0.0
    """CPU that neither server, client nor we ourselves used meanwhile, in cores."""

    @property
    def rps(self) -> float:
        return (self.requests - self.refused) / self.seconds


class Client(msgspec.Struct, frozen=True):
    """What a load client prints about itself."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    refused: int
    broken: int


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of the rounds, the smallest and the largest value, and their number."""

    median: float
    low: float
    high: float
    rounds: int


def figure(values: Sequence[float]) -> Figure:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("a figure needs at least one round")
    return Figure(statistics.median(values), min(values), max(values), len(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Figure:
    """Round by round, so that what slowed a whole round cancels out. Raises ValueError for unequal numbers of rounds."""
    return figure([a / b for a, b in zip(over, under, strict=True)])


def difference(more: Sequence[float], less: Sequence[float]) -> Figure:
    """Round by round. Raises ValueError for unequal numbers of rounds."""
    return figure([a - b for a, b in zip(more, less, strict=True)])


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what it should be: at least `limit` where `rising`, else at most."""

    name: str
    unit: str
    value: Figure
    limit: float
    rising: bool

    @property
    def met(self) -> bool:
        return self.value.median >= self.limit if self.rising else self.value.median <= self.limit

    @property
    def verdict(self) -> str:
        """`met`, or by how much it was missed, in parts of the goal."""
        return "met" if self.met else f"missed by {abs(self.value.median - self.limit) / self.limit:.0%}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def read_client(output: str) -> Client:
    """The last line of a load client's output. Raises ValueError when it is not what our clients print."""
    lines = output.strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1] if lines else "", type=Client)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"the load client said {output[-500:]!r}: {error}") from None


def read_h2load_log(text: str) -> Client:
    """h2load's `--log-file`: a line per request with its start (us of the day's clock), HTTP status and time (us), tabs between.

    Raises ValueError for a log without requests.
    """
    rows = [tuple(map(int, line.split("\t"))) for line in text.splitlines()]
    if not rows:
        raise ValueError("h2load logged no request")
    taken = sorted(row[2] for row in rows)
    seconds = (max(row[0] + row[2] for row in rows) - min(row[0] for row in rows)) / 1e6
    refused = sum(row[1] != 200 for row in rows)
    return Client(len(rows), seconds, percentile(taken, 0.5), percentile(taken, 0.99), refused, 0)


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed. Raises ValueError for no values."""
    if not ascending:
        raise ValueError("no values have no percentile")
    return ascending[max(0, -(-round(share * 1_000_000) * len(ascending) // 1_000_000) - 1)]


def best(medians: dict[str, float]) -> str:
    """The name with the largest value."""
    return max(medians, key=lambda name: medians[name])


def growth(first: float, last: float) -> float:
    """0.05 means 5 % more."""
    return last / first - 1
