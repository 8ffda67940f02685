"""Intervals over rounds, for the figures of a row and for the ratio of two rows. Pure functions; the draws are seeded.

The round is the unit of evidence. Whole rounds are drawn with replacement, for two rows of one run the same rounds of both: what the
machine did to a round it did to both. The spread of the replicates' logarithms, freed from the bias of few draws, is the standard error,
and Student's t with one degree of freedom less than there are rounds makes it an interval: a bootstrap's own percentiles of three to ten
rounds hold the truth far less often than they say (Hesterberg 2015).
A few rounds can agree by luck. So a second bootstrap keeps the rounds and draws the seconds within each one: consecutive requests, because
latencies that follow each other are alike; of two rows that went by turns the same seconds of both. The larger of the two errors counts.
Drawing both levels at once would count the scatter within rounds twice, as a round's own figure has it already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .percentiles import P50, P90, P99, P999
from .rounds import FEWEST, Drawn

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Generator = np.random.Generator
else:
    Floats = Ints = Generator = Any

CONFIDENCE = 0.95
DRAWS = 2000
_CHUNK = 200
_SEED = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """`quantile` of the latencies in microseconds, or a rate per second (None).

    `minimum_effect`: a smaller difference is never called one. Restarts and placement move a server by 3%, and a search for the capacity
    stops within 5% of it on either side.
    """

    name: str
    quantile: Fraction | None
    minimum_effect: float = 0.03

    @property
    def more_is_better(self) -> bool:
        return self.quantile is None


METRICS = {m.name: m for m in (Metric("p50", P50), Metric("p90", P90), Metric("p99", P99), Metric("p99.9", P999))}
THROUGHPUT = Metric("throughput", None)
CAPACITY = Metric("capacity", None, 0.10)
METRICS |= {m.name: m for m in (THROUGHPUT, CAPACITY)}


@dataclass(frozen=True, slots=True)
class Range:
    """An interval at 95%."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Candidate over baseline. `p` is the two-sided probability of so large a difference between two equals."""

    value: float
    interval: Range
    p: float
    rounds: int
    paired: bool


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The blocks of some rounds as arrays: one line of `counts` for each block, over the shared `values_us`."""

    values_us: Ints
    counts: Floats
    replies: Floats
    seconds: Floats
    capacity: Floats
    """Each block's part of its round's capacity; NaN where a round has none."""
    share: Floats
    """Each block's part of its round."""
    round_of: Ints
    by_turns: bool

    @property
    def rounds(self) -> int:
        return int(self.round_of[-1]) + 1


def units(rounds: Sequence[Drawn]) -> Units:
    import numpy as np

    blocks = [(number, block) for number, r in enumerate(rounds) for block in r.blocks]
    values = np.unique(np.concatenate([block.latency.values_us for _, block in blocks]))
    counts = np.zeros((len(blocks), len(values)))
    for line, (_, block) in zip(counts, blocks, strict=True):
        line[np.searchsorted(values, block.latency.values_us)] = block.latency.counts
    return Units(
        values,
        counts,
        np.array([block.replies for _, block in blocks]),
        np.array([block.seconds for _, block in blocks]),
        np.array([_capacity(r) / len(r.blocks) for r in rounds for _ in r.blocks]),
        np.array([1 / len(r.blocks) for r in rounds for _ in r.blocks]),
        np.array([number for number, _ in blocks], np.int64),
        all(r.by_turns for r in rounds),
    )


def _capacity(of: Drawn) -> float:
    return math.nan if of.capacity_rps is None else of.capacity_rps


def figures(of: Units, metric: Metric, weights: Floats) -> Floats:
    """The metric of each draw; `weights` says in each line how often each block was drawn. NaN where a draw has no reply."""
    import numpy as np

    if metric.quantile is None:
        total, over = (of.capacity, of.share) if metric is CAPACITY else (of.replies, of.seconds)
        under = weights @ over
        rates: Floats = np.divide(weights @ total, under, out=np.full(len(weights), np.nan), where=under > 0)
        return rates
    q, found = metric.quantile, []
    for start in range(0, len(weights), _CHUNK):
        below = np.cumsum(weights[start : start + _CHUNK] @ of.counts, axis=1)
        n = np.rint(below[:, -1]).astype(np.int64)
        ranks = np.maximum(1, -(-n * q.numerator // q.denominator))
        at = np.minimum((below < ranks[:, None] - 0.5).sum(axis=1), len(of.values_us) - 1)
        found.append(np.where(n > 0, of.values_us[at], np.nan))
    result: Floats = np.concatenate(found)
    return result


def interval(rounds: Sequence[Drawn], metric: Metric) -> Range | None:
    """The interval of a row's figure; None with too few rounds or without a reply."""
    import numpy as np

    if len(rounds) < FEWEST:
        return None
    of = units(rounds)
    value = float(figures(of, metric, np.ones((1, len(of.round_of))))[0])
    if not value > 0:
        return None
    return _range(math.log(value), _error(of, metric, np.random.default_rng(_SEED)), of.rounds - 1)


def ratio(baseline: Sequence[Drawn], candidate: Sequence[Drawn], metric: Metric, *, paired: bool) -> Ratio | None:
    """Candidate over baseline: over the rounds that both have when `paired`, else over all of each. None with too few rounds."""
    import numpy as np
    from scipy.special import stdtr

    if paired:
        both = {r.number for r in baseline} & {r.number for r in candidate}
        baseline, candidate = (sorted((r for r in side if r.number in both), key=lambda r: r.number) for side in (baseline, candidate))
    if min(len(baseline), len(candidate)) < FEWEST:
        return None
    a, b = units(baseline), units(candidate)
    value = point(baseline, candidate, metric)
    if value is None:
        return None
    rng = np.random.default_rng(_SEED)
    if paired:
        error, freedom = _paired_error(a, b, metric, rng), float(a.rounds - 1)
    else:
        mine, other = _error(a, metric, rng), _error(b, metric, rng)
        error, freedom = math.hypot(mine, other), _welch(mine, a.rounds - 1, other, b.rounds - 1)
    centre = math.log(value)
    p = 2 * float(stdtr(freedom, -abs(centre) / error)) if error > 0 else float(centre == 0)
    return Ratio(value, _range(centre, error, freedom), p, min(a.rounds, b.rounds), paired)


def point(baseline: Sequence[Drawn], candidate: Sequence[Drawn], metric: Metric) -> float | None:
    """The bare ratio, whatever the number of rounds; None where a side has no reply."""
    import numpy as np

    if not baseline or not candidate:
        return None
    a, b = (units(side) for side in (baseline, candidate))
    old, new = (float(figures(of, metric, np.ones((1, len(of.round_of))))[0]) for of in (a, b))
    return new / old if old > 0 and new > 0 else None


def between(of: Units, draws: Ints) -> Floats:
    """Weights that take each round, with all of its blocks, as often as it was drawn."""
    import numpy as np

    return draws[:, of.round_of].astype(np.float64)


def within(of: Units, rng: Generator) -> Floats:
    """Weights that keep every round and draw its blocks with replacement. A round of one block stays as it is."""
    import numpy as np

    weights = np.ones((DRAWS, len(of.round_of)))
    for number in range(of.rounds):
        mine = np.flatnonzero(of.round_of == number)
        weights[:, mine] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), DRAWS)
    return weights


def _draws(rounds: int, rng: Generator) -> Ints:
    import numpy as np

    return rng.multinomial(rounds, np.full(rounds, 1 / rounds), DRAWS)


def _error(of: Units, metric: Metric, rng: Generator) -> float:
    over = _spread(_log(figures(of, metric, between(of, _draws(of.rounds, rng)))), of.rounds)
    inside = _spread(_log(figures(of, metric, within(of, rng))), len(of.round_of) / of.rounds)
    return max(over, inside)


def _paired_error(a: Units, b: Units, metric: Metric, rng: Generator) -> float:
    import numpy as np

    draws = _draws(a.rounds, rng)
    over = _log(figures(b, metric, between(b, draws))) - _log(figures(a, metric, between(a, draws)))
    if a.by_turns and b.by_turns and np.array_equal(a.round_of, b.round_of):
        same = within(a, rng)
        inside = _spread(_log(figures(b, metric, same)) - _log(figures(a, metric, same)), len(a.round_of) / a.rounds)
    else:
        inside = math.hypot(*(_spread(_log(figures(of, metric, within(of, rng))), len(of.round_of) / of.rounds) for of in (a, b)))
    return max(_spread(over, a.rounds), inside)


def _log(found: Floats) -> Floats:
    import numpy as np

    return np.log(np.where(found > 0, found, np.nan))


def _spread(logs: Floats, drawn_from: float) -> float:
    """The standard deviation of the replicates; drawing from n units makes it too small by sqrt((n - 1) / n)."""
    import numpy as np

    known = logs[np.isfinite(logs)]
    return float(known.std() * math.sqrt(drawn_from / (drawn_from - 1))) if len(known) and drawn_from > 1 else 0.0


def _range(centre: float, error: float, freedom: float) -> Range:
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Range(math.exp(centre - reach), math.exp(centre + reach))


def _welch(a: float, a_freedom: int, b: float, b_freedom: int) -> float:
    """Welch and Satterthwaite's degrees of freedom of a difference."""
    if a == b == 0:
        return float(min(a_freedom, b_freedom))
    return (a * a + b * b) ** 2 / (a**4 / a_freedom + b**4 / b_freedom)
