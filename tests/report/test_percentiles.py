"""Percentiles, bounds and merging, against numpy and scipy."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from report.percentiles import (
    CONFIDENCE,
    P50,
    P90,
    P99,
    P999,
    Distribution,
    bound_rank,
    decode,
    drift,
    estimate,
    merge,
    minimum_samples,
    percentile_rank,
)
from serveoff.errors import InputError
from serveoff.results import Interval, Measurement

QUANTILES = st.sampled_from([P50, P90, P99, P999, Fraction(1, 3)])
EXACT = st.lists(st.integers(0, 2047), min_size=1, max_size=300)
"""HdrHistogram with three digits keeps values below 2,048 as they are."""
WIDE = st.lists(st.integers(0, 50_000_000), min_size=1, max_size=100)


@given(samples=EXACT, quantile=QUANTILES)
@settings(max_examples=60, deadline=None)
def test_a_percentile_is_numpys(make: Any, samples: list[int], quantile: Fraction) -> None:
    product = len(samples) * float(quantile)
    assume(quantile == P50 or abs(product - round(product)) > 1e-6)  # there, 0.9 * 10 in binary decides numpy's rank
    found = estimate(decode(make.encode(samples)), quantile)
    assert found is not None
    assert found.value_us == np.quantile(samples, float(quantile), method="inverted_cdf")
    assert found.n == len(samples)


@pytest.mark.parametrize(("n", "rank"), [(1, 1), (10, 9), (100, 90), (700, 630), (1000, 900)])
def test_a_rank_does_not_depend_on_binary_fractions(n: int, rank: int) -> None:
    assert percentile_rank(n, P90) == rank


@given(samples=WIDE, quantile=QUANTILES)
@settings(max_examples=60, deadline=None)
def test_a_wide_histogram_is_within_a_thousandth(make: Any, samples: list[int], quantile: Fraction) -> None:
    found = estimate(decode(make.encode(samples)), quantile)
    assert found is not None
    true = sorted(samples)[percentile_rank(len(samples), quantile) - 1]
    assert true <= found.value_us <= true * 1.001


@given(parts=st.lists(EXACT, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_merging_is_exact(make: Any, parts: list[list[int]]) -> None:
    merged = merge(decode(make.encode(part)) for part in parts)
    values, counts = np.unique(np.concatenate(parts), return_counts=True)
    assert merged.values_us.tolist() == values.tolist()
    assert merged.counts.tolist() == counts.tolist()


def test_merging_nothing_has_no_percentile() -> None:
    empty = merge([])
    assert (empty.n, empty.max_us, estimate(empty, P50)) == (0, None, None)


@given(n=st.integers(1, 200_000), quantile=QUANTILES, confidence=st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=200, deadline=None)
def test_the_bounds_rank_is_scipys(n: int, quantile: Fraction, confidence: float) -> None:
    q = float(quantile)
    rank = bound_rank(n, quantile, confidence)
    if rank is None:
        assert stats.binom.cdf(n - 1, n, q) < confidence
        return
    assert rank == stats.binom.ppf(confidence, n, q) + 1
    assert rank >= percentile_rank(n, quantile)


def test_the_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(20260820)
    rank = bound_rank(1000, P99)
    assert rank is not None
    samples = np.sort(rng.exponential(size=(4000, 1000)), axis=1)
    covered = float(np.mean(samples[:, rank - 1] >= -np.log(0.01)))
    assert 0.945 <= covered <= 0.985


@pytest.mark.parametrize(("quantile", "needed"), [(P50, 20), (P90, 100), (P99, 1000), (P999, 10_000)])
def test_a_percentile_below_its_minimum_is_marked(quantile: Fraction, needed: int) -> None:
    assert minimum_samples(quantile) == needed
    for n, enough in ((needed - 1, False), (needed, True)):
        found = estimate(Distribution(np.array([7]), np.array([n])), quantile)
        assert found is not None
        assert (found.value_us, found.enough) == (7, enough)


def test_too_few_samples_have_no_bound() -> None:
    found = estimate(Distribution(np.arange(1, 201), np.ones(200, dtype=np.int64)), P99)
    assert found is not None
    assert (found.value_us, found.bound_us) == (198, None)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_outside_is_an_error(rank: int) -> None:
    with pytest.raises(IndexError):
        Distribution(np.array([1, 2]), np.array([1, 2])).at_rank(rank)


@pytest.mark.parametrize("blob", ["", "abc", "%%%%", "AAAA" * 10, "HISTFAAAAC94nJNpmSzMwMAgwABzFCaEcyZ3M5g"])
def test_a_damaged_histogram_is_the_inputs_fault(blob: str) -> None:
    with pytest.raises(InputError, match="latency histogram cannot be read"):
        decode(blob)


def halves(make: Any, first: list[int], second: list[int], window_s: float = 4.0) -> Measurement:
    parts = [first, first, second, second][: int(window_s)]
    intervals = tuple(Interval(start_s=float(i), requests=len(p), errors=0, latency_hdr=make.encode(p)) for i, p in enumerate(parts))
    whole = make.measurement(np.array(first + second))
    return Measurement(**{name: getattr(whole, name) for name in whole.__struct_fields__} | {"window_s": window_s, "intervals": intervals})


def test_drift_compares_a_run_with_itself(make: Any) -> None:
    moved = drift(halves(make, [100] * 50, [150] * 40))
    assert moved is not None
    assert (moved.p99, moved.throughput) == pytest.approx((0.5, 0.25))
    still = drift(halves(make, [100] * 50, [100] * 50))
    assert still is not None
    assert (still.p99, still.throughput) == (0, 0)


def test_a_run_too_short_or_half_silent_cannot_be_compared_with_itself(make: Any) -> None:
    assert drift(halves(make, [100] * 5, [100] * 5, window_s=1.0)) is None
    assert drift(halves(make, [100] * 5, [])) is None


@pytest.mark.parametrize(("unsent", "p99_us", "enough"), [(0, 1000, True), (69, 1000, True), (119, 300_000, True), (200, 300_000, False)])
def test_what_was_never_sent_counts_as_longer_than_every_reply(unsent: int, p99_us: int, enough: bool) -> None:
    """A server that stalls at the end of a load: 31 requests saw it, the rest of those that were due did not even leave."""
    replies = Distribution(np.array([1000, 300_000]), np.array([11_850, 31]))
    found = estimate(replies, P99, unsent)
    assert found is not None
    assert (found.value_us, found.enough, found.n) == (p99_us, enough, 11_881)
    assert found.bound_us is None or found.bound_us >= p99_us


@given(samples=st.lists(st.integers(1, 2047), min_size=20, max_size=300), quantile=st.sampled_from([P50, P90, Fraction(3, 4)]))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_that_of_scipys_quantile_test(make: Any, samples: list[int], quantile: Fraction) -> None:
    found = estimate(decode(make.encode(samples)), quantile)
    assert found is not None
    theirs: Any = stats.quantile_test(samples, p=float(quantile), alternative="less").confidence_interval(CONFIDENCE)
    assert found.bound_us == (None if math.isnan(theirs.high) else theirs.high)
