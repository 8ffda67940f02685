"""Rounds, their merging and their intervals, against numpy and scipy."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from report import bootstrap
from report.bootstrap import METRICS, THROUGHPUT, between, figures, interval, ratio, units, within
from report.percentiles import Distribution
from report.rounds import Block, Round, needed, pool, reasons, settled
from report.verdicts import Comparison, compare, judge

P50, P99 = METRICS["p50"], METRICS["p99"]
SAMPLES = st.lists(st.integers(1, 2047), min_size=1, max_size=40)
ROUNDS = st.lists(st.lists(SAMPLES, min_size=1, max_size=4), min_size=1, max_size=5)


def distribution(samples: Any) -> Distribution:
    values, counts = np.unique(np.asarray(samples, np.int64), return_counts=True)
    return Distribution(values, counts.astype(np.int64))


def a_round(make: Any, number: int, blocks: Any, second_s: float = 1.0) -> Round:
    """Blocks of samples in microseconds, each of which took `second_s`."""
    samples = np.concatenate([np.asarray(block, np.int64) for block in blocks])
    made = tuple(Block(index * second_s, second_s, float(len(block)), 0, distribution(block)) for index, block in enumerate(blocks))
    return Round(number, make.measurement(samples), distribution(samples), distribution(samples), made)


@given(rounds=ROUNDS, quantile=st.sampled_from([Fraction(1, 2), Fraction(3, 4), Fraction(1, 8)]), data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_draws_percentile_is_numpys_over_the_repeated_samples(make: Any, rounds: Any, quantile: Fraction, data: st.DataObject) -> None:
    blocks = [block for each in rounds for block in each]
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(blocks), max_size=len(blocks)))
    of = units([a_round(make, number, each) for number, each in enumerate(rounds)])
    found = figures(of, bootstrap.Metric("q", quantile), np.array([weights], float))[0]
    repeated = [sample for block, times in zip(blocks, weights, strict=True) for sample in block * times]
    if not repeated:
        assert math.isnan(found)
    else:
        assert found == np.quantile(repeated, float(quantile), method="inverted_cdf")


@given(rounds=ROUNDS)
@settings(max_examples=40, deadline=None)
def test_pooling_is_exact(make: Any, rounds: Any) -> None:
    made = pool([a_round(make, number, each) for number, each in enumerate(rounds)])
    assert made is not None
    values, counts = np.unique([s for each in rounds for block in each for s in block], return_counts=True)
    assert (made.latency.values_us.tolist(), made.latency.counts.tolist()) == (values.tolist(), counts.tolist())
    assert made.throughput_rps * made.window_s == pytest.approx(counts.sum())


@given(rates=st.lists(st.integers(50, 400), min_size=3, max_size=8))
@settings(max_examples=20, deadline=None)
def test_the_error_over_rounds_is_scipys(make: Any, rates: list[int]) -> None:
    of = units([a_round(make, number, [[500] * rate]) for number, rate in enumerate(rates)])
    rng = np.random.default_rng(1)
    draws = rng.multinomial(len(rates), np.full(len(rates), 1 / len(rates)), 6000)
    mine = float(np.log(figures(of, THROUGHPUT, between(of, draws))).std())

    def log_mean(sample: Any, axis: int) -> Any:
        return np.log(np.mean(sample, axis=axis))

    theirs = float(stats.bootstrap((rates,), log_mean, n_resamples=6000, method="percentile", rng=rng).standard_error)
    assert mine == pytest.approx(theirs, rel=0.08, abs=1e-9)


def test_rounds_are_drawn_whole_and_seconds_within_their_round(make: Any) -> None:
    of = units([a_round(make, number, [[1], [2], [3]]) for number in range(4)])
    whole = between(of, np.array([[2, 0, 1, 1]]))
    assert whole.tolist() == [[2] * 3 + [0] * 3 + [1] * 6]
    drawn = within(of, np.random.default_rng(2)).reshape(-1, 4, 3)
    assert (drawn.sum(axis=2) == 3).all()
    assert drawn.std() > 0


def rounds_of(make: Any, rng: Any, medians: Any, n: int = 300) -> list[Round]:
    made = []
    for number, median in enumerate(medians):
        samples = np.maximum(1, median * np.exp(0.2 * rng.standard_normal(n)))
        took = float(samples.sum()) / 1e6  # a closed loop of one: the samples fill the time
        made.append(a_round(make, number, np.array_split(samples.astype(np.int64), 4), took / 4))
    return made


@pytest.mark.parametrize("count", [3, 5, 8])
def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says(make: Any, count: int) -> None:
    """Rounds that differ by 5 %, half of it common to both rows: 95 % promised. The percentile bootstrap would give 75 to 90 %."""
    rng = np.random.default_rng(20261003 + count)
    held, trials = 0, 120
    for _ in range(trials):
        common = np.exp(0.05 * rng.standard_normal(count))
        own = np.exp(0.05 * rng.standard_normal((2, count)))
        a, b = (rounds_of(make, rng, 4000 * common * own[side], 120) for side in (0, 1))
        found = ratio(a, b, THROUGHPUT, paired=True)
        assert found is not None
        held += found.interval.low <= 1 <= found.interval.high
    assert held / trials >= 0.90


def test_what_a_round_did_to_both_rows_cancels_only_when_they_are_paired(make: Any) -> None:
    rng = np.random.default_rng(3)
    common = np.array([1.0, 1.6, 0.7, 1.3, 0.8])
    a = rounds_of(make, rng, 4000 * common)
    b = rounds_of(make, rng, 4400 * common)
    paired, apart = ratio(a, b, P50, paired=True), ratio(a, b, P50, paired=False)
    assert paired is not None
    assert apart is not None
    assert 1 < paired.interval.low < 1.1 < paired.interval.high < 1.2
    assert apart.interval.low < 0.8
    assert judge([Comparison(P50, paired.value, paired), Comparison(P50, apart.value, apart)]) == ["slower", "no difference shown"]


def test_rounds_that_agree_by_luck_do_not_make_a_sure_thing(make: Any) -> None:
    """Each round's median is the same, yet within each round the seconds are far apart."""
    a = [a_round(make, n, [[100] * 50, [400] * 49]) for n in range(3)]
    b = [a_round(make, n, [[110] * 50, [400] * 49]) for n in range(3)]
    compared = compare(a, b, P50, paired=True)
    assert compared.value == pytest.approx(1.1)
    assert judge([compared]) == ["no difference shown"]


@pytest.mark.parametrize("paired", [True, False])
def test_fewer_than_three_rounds_show_nothing(make: Any, paired: bool) -> None:
    rng = np.random.default_rng(5)
    a, b = rounds_of(make, rng, [1000] * 2), rounds_of(make, rng, [9000] * 2)
    assert interval(a, P50) is None
    compared = compare(a, b, P50, paired=paired)
    assert (compared.ratio, compared.lacking) == (None, "2 valid rounds, a verdict needs 3")
    assert compared.value == pytest.approx(9, rel=0.1)
    assert judge([compared]) == ["not judged"]


def test_only_rounds_that_both_rows_have_are_paired(make: Any) -> None:
    rng = np.random.default_rng(6)
    a, b = rounds_of(make, rng, [1000] * 6), rounds_of(make, rng, [1500] * 6)
    found = ratio(a[:4], b[1:], P50, paired=True)
    assert found is not None
    assert found.rounds == 3
    assert compare(a[:3], b[3:], P50, paired=True).lacking == "0 valid rounds, a verdict needs 3"


def test_a_tail_of_too_few_replies_is_not_judged(make: Any) -> None:
    rng = np.random.default_rng(7)
    a, b = rounds_of(make, rng, [1000] * 5, n=199), rounds_of(make, rng, [5000] * 5)
    assert compare(a, b, P99, paired=True).lacking == "p99 needs 1,000 replies, there are 995"
    assert compare(b, b, P99, paired=True).lacking == ""


def test_a_small_difference_is_none_however_sure(make: Any) -> None:
    a = [a_round(make, n, [[1000] * 100]) for n in range(5)]
    b = [a_round(make, n, [[1029] * 100]) for n in range(5)]
    c = [a_round(make, n, [[1031] * 100]) for n in range(5)]
    assert [judge([compare(a, other, P50, paired=True)])[0] for other in (b, c)] == ["no difference shown", "slower"]
    assert judge([compare(c, a, P50, paired=True)]) == ["faster"]


def test_more_replies_are_faster(make: Any) -> None:
    slow = [a_round(make, n, [[1000] * 100] * 3) for n in range(5)]
    fast = [a_round(make, n, [[1000] * 120] * 3) for n in range(5)]
    assert judge([compare(slow, fast, THROUGHPUT, paired=True), compare(fast, slow, THROUGHPUT, paired=True)]) == ["faster", "slower"]


def test_many_verdicts_are_judged_together() -> None:
    def one(p: float) -> Comparison:
        return Comparison(P50, 1.5, bootstrap.Ratio(1.5, bootstrap.Range(1.1, 2.0), p, 5, True))

    assert judge([one(0.04)]) == ["slower"]
    assert judge([one(0.04), one(0.3)]) == ["no difference shown"] * 2
    assert judge([one(0.3), one(0.01), one(0.02), Comparison(P50, None, None)]) == [
        "no difference shown",
        "slower",
        "slower",
        "not judged",
    ]


@pytest.mark.parametrize(("planned", "wanted"), [(1, 1), (2, 2), (3, 3), (5, 3), (6, 4), (10, 6)])
def test_how_many_rounds_a_row_needs(planned: int, wanted: int) -> None:
    assert needed(planned) == wanted


def test_a_void_round_is_replaced_by_its_repetition_and_stays_on_record(make: Any) -> None:
    artifact = make.manifest("pytorch", "onnx")

    def attempt(number: int, which: int, reasons: tuple[str, ...] = ()) -> Any:
        measured = make.measurement(np.full(100, 500))
        return make.cell("triton", artifact, "tfs_grpc", make.CLOSED, measured, reasons, number=number, attempt=which)

    cells = [attempt(1, 1, ("busy",)), attempt(2, 1), attempt(1, 2), attempt(3, 1, ("busy",)), attempt(3, 2, ("stolen",))]
    assert [(c.round, c.attempt, c.verdict) for c in settled(cells)] == [(1, 2, "VALID"), (2, 1, "VALID"), (3, 2, "INVALID")]
    assert reasons(cells, 2) == ()
    assert reasons(cells, 3) == ("2 of 3 rounds are VALID, 3 are needed", "stolen", "and 1 more")


@given(pairs=st.lists(st.tuples(st.integers(50, 400), st.integers(50, 400)), min_size=3, max_size=8), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_error_of_a_paired_ratio_is_scipys(make: Any, pairs: list[tuple[int, int]], seed: int) -> None:
    """Of the rounds, that is: each second here is like the other, so the second bootstrap, within rounds, adds nothing."""
    a, b = (units([a_round(make, number, [[500] * rate] * 2) for number, rate in enumerate(side)]) for side in zip(*pairs, strict=True))
    mine = bootstrap._paired_error(a, b, THROUGHPUT, np.random.default_rng(seed))

    def log_ratio(old: Any, new: Any, axis: int) -> Any:
        return np.log(np.mean(new, axis=axis)) - np.log(np.mean(old, axis=axis))

    samples = tuple(np.array(side, float) for side in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # of rounds that do not differ; the error is 0 all the same
        theirs = float(stats.bootstrap(samples, log_ratio, paired=True, n_resamples=6000, method="percentile", rng=seed).standard_error)
    freed = theirs * math.sqrt(len(pairs) / (len(pairs) - 1))
    assert mine == pytest.approx(freed, rel=0.1, abs=1e-9)


@given(centre=st.floats(-3, 3), error=st.floats(1e-6, 1), freedom=st.floats(2, 50))
@settings(max_examples=60, deadline=None)
def test_the_range_is_scipys_t_interval(centre: float, error: float, freedom: float) -> None:
    found = bootstrap._range(centre, error, freedom)
    low, high = stats.t.interval(bootstrap.CONFIDENCE, freedom, loc=centre, scale=error)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((low, high), rel=1e-9, abs=1e-12)


@given(sides=st.tuples(*[st.lists(st.floats(1, 100), min_size=3, max_size=9, unique=True)] * 2))
@settings(max_examples=60, deadline=None)
def test_the_degrees_of_freedom_are_those_of_scipys_welch_test(sides: tuple[list[float], list[float]]) -> None:
    a, b = (float(stats.sem(side)) for side in sides)
    wanted = stats.ttest_ind(*sides, equal_var=False).df
    assert bootstrap._welch(a, len(sides[0]) - 1, b, len(sides[1]) - 1) == pytest.approx(wanted)


def test_the_probability_of_a_ratio_is_scipys(make: Any) -> None:
    rng = np.random.default_rng(8)
    a, b = rounds_of(make, rng, [1000, 1050, 980, 1010]), rounds_of(make, rng, [1040, 1100, 1000, 1080])
    found = ratio(a, b, P50, paired=True)
    assert found is not None
    error = math.log(found.interval.high / found.interval.low) / 2 / float(stats.t.ppf((1 + bootstrap.CONFIDENCE) / 2, 3))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(math.log(found.value)) / error, 3))
