"""Percentiles with their sample counts and bounds, from stored HdrHistogram blobs. Pure functions.

Quantiles are exact fractions (`Fraction(99, 100)`), so that a rank never depends on how 0.99 rounds in binary.
Latencies are whole microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from serveoff.errors import InputError
from serveoff.results import Measurement

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Int64s = npt.NDArray[np.int64]
else:
    Int64s = Any

P50 = Fraction(1, 2)
P90 = Fraction(9, 10)
P99 = Fraction(99, 100)
P999 = Fraction(999, 1000)

CONFIDENCE = 0.95
"""Of the one-sided bound beside a percentile."""

SAMPLES_BEYOND = 10
"""A percentile stands on at least this many samples beyond it: p99 needs 1,000 of them, p99.9 needs 10,000."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """A histogram's recorded buckets: ascending `values_us` (the highest value of each bucket) and their `counts`, both int64."""

    values_us: Int64s
    counts: Int64s

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def max_us(self) -> int | None:
        return int(self.values_us[-1]) if self.n else None

    def at_rank(self, rank: int) -> int:
        """The value of the `rank`-th smallest sample, counted from 1. Raises IndexError outside 1..n."""
        import numpy as np

        if not 1 <= rank <= self.n:
            raise IndexError(f"rank {rank} of {self.n} samples")
        return int(self.values_us[np.searchsorted(np.cumsum(self.counts), rank)])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A percentile of one round, in microseconds.

    `bound_us` is a distribution-free upper bound at 95% (None when there are too few samples for one). It supposes independent samples;
    latencies that follow each other are alike, so the true uncertainty is larger. `enough` is false below the minimum sample count.
    """

    value_us: int
    bound_us: int | None
    n: int
    enough: bool


def decode(blob: str) -> Distribution:
    """Read an HdrHistogram V2 blob (base64, compressed). Raises InputError when it is not one."""
    import binascii
    import zlib

    import numpy as np
    from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
    from hdrh.histogram import HdrHistogram

    damaged = (HdrCookieException, HdrHistogramSettingsException, HdrLengthException, binascii.Error, zlib.error)
    try:
        histogram = HdrHistogram.decode(blob)
    except (*damaged, ValueError, TypeError, IndexError, ArithmeticError) as error:
        text = str(error) or type(error).__name__
        raise InputError(f"a latency histogram cannot be read: {text}", hint="run the load test again") from None
    counts = np.ctypeslib.as_array(histogram.counts).astype(np.int64)
    used = np.flatnonzero(counts)
    lows = [histogram.get_value_from_index(int(index)) for index in used]
    highs = [histogram.get_highest_equivalent_value(low) for low in lows]
    return Distribution(np.asarray(highs, dtype=np.int64), counts[used])


def merge(parts: Iterable[Distribution]) -> Distribution:
    """All samples of all parts. Percentiles are taken from the merged samples, never averaged."""
    import numpy as np

    known = list(parts)
    if not known:
        return Distribution(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    values, places = np.unique(np.concatenate([part.values_us for part in known]), return_inverse=True)
    counts = np.zeros(len(values), dtype=np.int64)
    np.add.at(counts, places, np.concatenate([part.counts for part in known]))
    return Distribution(values, counts)


def minimum_samples(quantile: Fraction) -> int:
    """The samples that a percentile needs."""
    return math.ceil(SAMPLES_BEYOND / (1 - quantile))


def percentile_rank(n: int, quantile: Fraction) -> int:
    """The rank (from 1) of the smallest sample that at least `quantile` of all `n` samples do not exceed."""
    return max(1, math.ceil(quantile * n))


def bound_rank(n: int, quantile: Fraction, confidence: float = CONFIDENCE) -> int | None:
    """The rank (from 1) of the smallest order statistic that is an upper bound of the true percentile at `confidence`.

    The number of samples below the true percentile is Binomial(n, quantile) at most; the k-th smallest sample is a bound when
    P(Binomial(n, quantile) <= k - 1) >= confidence. None when even the largest sample is not.
    """
    from scipy.special import bdtr

    q = float(quantile)
    if n < 1 or bdtr(n - 1, n, q) < confidence:
        return None
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        if bdtr(middle - 1, n, q) >= confidence:
            high = middle
        else:
            low = middle + 1
    return low


def estimate(distribution: Distribution, quantile: Fraction, unsent: int = 0) -> Estimate | None:
    """A percentile with its bound; None when there are no samples.

    `unsent` requests had waited at the end of the load, and count as longer than every sample. A percentile that falls among them is the
    longest sample, and not enough.
    """
    n, due = distribution.n, distribution.n + unsent
    if n == 0:
        return None
    rank, bound = percentile_rank(due, quantile), bound_rank(due, quantile)
    return Estimate(
        value_us=distribution.at_rank(min(rank, n)),
        bound_us=None if bound is None or bound > n else distribution.at_rank(bound),
        n=n,
        enough=n >= minimum_samples(quantile) and rank <= n,
    )


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one and the same run moved between its first and its second half: the larger over the smaller figure, minus 1."""

    p99: float
    throughput: float


def drift(measurement: Measurement) -> Drift | None:
    """Compare the halves of a run; None when it is too short (under two seconds) or a half holds no reply.

    What changes by itself within one run bounds from below what a difference between two runs can show.
    """
    intervals = sorted(measurement.intervals, key=lambda interval: interval.start_s)
    half = measurement.window_s / 2
    first = merge(decode(i.latency_hdr) for i in intervals if i.start_s + 0.5 < half)
    second = merge(decode(i.latency_hdr) for i in intervals if i.start_s + 0.5 >= half)
    seconds = sum(1 for i in intervals if i.start_s + 0.5 < half)
    early, late = estimate(first, P99), estimate(second, P99)
    if early is None or late is None or measurement.window_s <= seconds:
        return None
    rates = first.n / seconds, second.n / (measurement.window_s - seconds)
    tails = max(early.value_us, 1), max(late.value_us, 1)
    return Drift(p99=max(tails) / min(tails) - 1, throughput=max(rates) / min(rates) - 1)
