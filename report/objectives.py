"""Objectives such as `p99<=50ms`: read, and judged on a row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from serveoff.errors import UsageError

from . import wording
from .bootstrap import CAPACITY, METRICS, Metric, interval
from .percentiles import estimate
from .rows import Row

_TEXT = re.compile(r"\s*([a-z0-9.]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*(us|ms|s|/s|)\s*")
_MICROSECONDS = {"us": 1.0, "ms": 1000.0, "s": 1_000_000.0}


@dataclass(frozen=True, slots=True)
class Objective:
    """`limit` is in microseconds, or in replies per second."""

    text: str
    metric: Metric
    at_most: bool
    strictly: bool
    limit: float

    def holds(self, value: float) -> bool:
        if value == self.limit:
            return not self.strictly
        return (value < self.limit) == self.at_most


@dataclass(frozen=True, slots=True)
class Judged:
    """`kept` is None when nothing can be said. `certain`: the whole interval is on the same side; None without one."""

    row: str
    objective: str
    value: float | None
    kept: bool | None
    certain: bool | None
    reason: str = ""


def parse(text: str) -> Objective:
    """Read `p99<=50ms` or `throughput>=200`. Raises UsageError."""
    match = _TEXT.fullmatch(text)
    hint = "write it as p99<=50ms, p50<800us or throughput>=200"
    if match is None or match[1] not in METRICS:
        raise UsageError(f"the objective {text!r} cannot be read", hint=f"{hint}; known figures: {', '.join(METRICS)}")
    name, sign, unit = match[1], match[2], match[4]
    metric = METRICS[name]
    try:
        number = float(match[3])
    except ValueError:
        raise UsageError(f"the objective {text!r} has no number that can be read", hint=hint) from None
    if metric.quantile is None:
        if unit not in ("", "/s"):
            raise UsageError(f"the objective {text!r} is in {unit}, a rate is per second", hint=hint)
        return Objective(text.strip(), metric, sign.startswith("<"), "=" not in sign, number)
    if unit not in _MICROSECONDS:
        raise UsageError(f"the objective {text!r} says no unit of time", hint=hint)
    return Objective(text.strip(), metric, sign.startswith("<"), "=" not in sign, number * _MICROSECONDS[unit])


def judge(objective: Objective, row: Row, name: str) -> Judged:
    """The row's own figure decides; the interval says how sure that is."""
    if not row.usable:
        return Judged(
            name, objective.text, None, None, None, "; ".join(map(wording.clean, row.reasons)) or "its answers are not the model's"
        )
    quantile = objective.metric.quantile
    if quantile is None:
        value = row.capacity_rps if objective.metric is CAPACITY else row.throughput
        if value is None:
            return Judged(name, objective.text, None, None, None, "this row has no capacity: that is what the profile `capacity` finds")
    else:
        found = estimate(row.latency, quantile, row.unsent) if row.latency is not None else None
        if found is None or not found.enough:
            return Judged(
                name, objective.text, None, None, None, f"too few replies for a {objective.metric.name} ({found.n if found else 0})"
            )
        value = float(found.value_us)
    kept, around = objective.holds(value), interval(row.rounds, objective.metric)
    certain = None if around is None else objective.holds(around.low) == objective.holds(around.high) == kept
    return Judged(name, objective.text, value, kept, certain)
