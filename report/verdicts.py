"""Faster, slower, or no difference shown: what may be said of two rows, or of many pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .bootstrap import CAPACITY, METRICS, THROUGHPUT, Metric, Ratio, point, ratio
from .percentiles import merge, minimum_samples
from .rounds import FEWEST, Drawn

Word = Literal["faster", "slower", "no difference shown", "not judged"]
WRONG_AT_MOST = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of two rows. `ratio` is None, and `lacking` says why, where nothing can be judged; `value` is the bare ratio even then."""

    metric: Metric
    value: float | None
    ratio: Ratio | None
    lacking: str = ""


def primary(profile: str, open_loop: bool) -> Metric:
    """The one metric that a verdict is about: the tail at a given rate, what a given number of clients gets done, or what was searched."""
    if profile == CAPACITY.name:
        return CAPACITY
    return METRICS["p99"] if open_loop else THROUGHPUT


def compare(baseline: Sequence[Drawn], candidate: Sequence[Drawn], metric: Metric, *, paired: bool) -> Comparison:
    """Candidate against baseline; `paired` when their rounds are of one run, taken in turns."""
    value = point(baseline, candidate, metric)
    if value is None:
        return Comparison(metric, None, None, "there is no reply to compare")
    few = _few(baseline, candidate, metric)
    if few:
        return Comparison(metric, value, None, few)
    found = ratio(baseline, candidate, metric, paired=paired)
    if found is None:
        common = len({r.number for r in baseline} & {r.number for r in candidate}) if paired else min(len(baseline), len(candidate))
        return Comparison(metric, value, None, f"{common} valid {'round' if common == 1 else 'rounds'}, a verdict needs {FEWEST}")
    return Comparison(metric, found.value, found)


def judge(comparisons: Sequence[Comparison]) -> list[Word]:
    """A word for each. They are judged together (Holm), so that all words together are wrong in at most 5% of runs of equals."""
    shown = holm([c.ratio.p if c.ratio else None for c in comparisons])
    unshown: list[Word] = ["not judged" if c.ratio is None else "no difference shown" for c in comparisons]
    return [_word(c) if real else word for c, real, word in zip(comparisons, shown, unshown, strict=True)]


def holm(ps: Sequence[float | None]) -> list[bool]:
    """Which differences are shown, judged together; None is one that cannot be judged."""
    known = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    shown = [False] * len(ps)
    for place, (p, index) in enumerate(known):
        if p * (len(known) - place) > WRONG_AT_MOST:
            break
        shown[index] = True
    return shown


def _word(comparison: Comparison) -> Word:
    value = comparison.value or 1.0
    if max(value, 1 / value) < 1 + comparison.metric.minimum_effect:
        return "no difference shown"
    return "faster" if (value > 1) == comparison.metric.more_is_better else "slower"


def _few(baseline: Sequence[Drawn], candidate: Sequence[Drawn], metric: Metric) -> str:
    if metric.quantile is None:
        return ""
    least = min(merge(r.latency for r in side).n for side in (baseline, candidate))
    need = minimum_samples(metric.quantile)
    return "" if least >= need else f"{metric.name} needs {need:,} replies, there are {least:,}"
