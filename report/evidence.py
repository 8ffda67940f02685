"""What several rounds show about a group's best row, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from . import wording
from .bootstrap import CAPACITY, METRICS, Metric
from .rows import Group, Row
from .verdicts import Comparison, compare, judge

_NAMED = 4


def sentences(group: Group, ranked: Sequence[Row]) -> list[str]:
    """The best row's interval, and which of the others are shown to be worse. `ranked` is the best first."""
    best, rest = ranked[0], ranked[1:]
    metric = group.metric
    told = _interval(best, metric)
    if not rest:
        return [*told, "It is the only row that can be compared here."]
    compared = [compare(best.rounds, row.rounds, metric, paired=True) for row in rest]
    judged = list(zip(rest, compared, judge(compared), strict=True))
    worse = [f"{row.label} ({_times(c)})" for row, c, word in judged if word == "slower"]
    tied = [f"{row.label} ({_times(c)})" for row, c, word in judged if word in ("no difference shown", "faster")]
    unjudged = [f"{row.label} ({c.lacking})" for row, c, word in judged if word == "not judged"]
    told += [f"No difference shown between it and {_some(tied)}."] if tied else []
    told += [f"Shown to be slower, by {metric.name} against this row's: {_some(worse)}."] if worse else []
    told += [f"Not judged: {_some(unjudged)}."] if unjudged else []
    return told


def caveat() -> str:
    """What holds for every sentence of this module."""
    least, of_capacity = (wording.share(metric.minimum_effect) for metric in (METRICS["p99"], CAPACITY))
    return (
        "Rows were measured in rounds. A verdict stands on the paired ratio of one metric: p99 in an open loop, throughput in a "
        "closed one, capacity where it was searched. It takes the 95% bootstrap interval over the rounds, judged together with the others "
        f"of its table (Holm), and a difference of at least {least} (capacity: {of_capacity}). 'No difference shown' does not say that "
        "there is none."
    )


def _interval(row: Row, metric: Metric) -> list[str]:
    found = row.ranges.get(metric.name)
    if found is None:
        return []
    unit = "ms" if metric.quantile is not None else "requests/s" if metric is CAPACITY else "replies/s"
    shown = wording.between(found.low, found.high, wording.rate if metric.quantile is None else _milliseconds)
    return [f"Its {metric.name} in {unit}: {shown} (95%, over {len(row.rounds)} rounds)."]


def _milliseconds(latency_us: float) -> str:
    return wording.milliseconds(round(latency_us))


def _times(comparison: Comparison) -> str:
    assert comparison.ratio is not None
    return wording.times(comparison.ratio.value, comparison.ratio.interval.low, comparison.ratio.interval.high)


def _some(items: list[str]) -> str:
    left = len(items) - _NAMED
    return wording.listed(items[:_NAMED] + ([f"{left} more"] if left > 0 else []))
