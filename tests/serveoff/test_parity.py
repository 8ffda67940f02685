from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serveoff import parity, storage
from serveoff.contract import ExportFailure, Parity, Tolerance

TOLERANCE = Tolerance(atol=1e-3, rtol=1e-2, source="this test")
REFERENCE = {"logits": np.array([[1.0, -2.0], [0.0, 100.0]], np.float32)}


def judge(answer: dict[str, np.ndarray]) -> Parity:
    return Parity(tolerance=TOLERANCE, checks=parity.compare("case", REFERENCE, answer, TOLERANCE))


def test_equal_passes() -> None:
    verdict = judge({"logits": REFERENCE["logits"].copy()})
    assert verdict.passed
    assert verdict.max_abs == 0
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "the output is missing"),
        ({"logits": REFERENCE["logits"], "extra": np.zeros(1)}, "no output of this name"),
        ({"logits": REFERENCE["logits"].T[:1]}, r"shape \[1, 2\] instead of \[2, 2\]"),
        ({"logits": REFERENCE["logits"].astype(np.float64)}, "dtype float64 instead of float32"),
        ({"logits": np.array([[1.0, -2.0], [np.nan, 100.0]], np.float32)}, "NaN or infinity"),
        ({"logits": np.array([[1.0, -2.0], [0.0, np.inf]], np.float32)}, "NaN or infinity"),
        ({"logits": REFERENCE["logits"][:, ::-1].copy()}, "4 of 4 values differ"),
        ({"logits": REFERENCE["logits"].T.copy()}, "2 of 4 values differ"),
        ({"logits": REFERENCE["logits"] + np.float32(0.02)}, "2 of 4 values differ by more than 0.001"),
    ],
)
def test_every_kind_of_difference_is_caught(answer: dict[str, np.ndarray], reason: str) -> None:
    verdict = judge(answer)
    assert not verdict.passed
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(verdict.reason)


@pytest.mark.parametrize(("others", "reason"), [(1, ""), (2, "2 of 100 rows decide differently, 1 may (top-1 agreement of 99%)")])
def test_whole_numbers_are_decisions_of_the_model_s_own(others: int, reason: str) -> None:
    words = np.arange(100, dtype=np.int64).reshape(10, 10)
    answer = words.copy()
    answer.flat[:others] = 9_999
    loose = msgspec.structs.replace(TOLERANCE, minimum_equal=0.99)
    (check,) = parity.compare("case", {"words": words}, {"words": answer}, loose)
    assert check.reason == reason
    (check,) = parity.compare("case", {"words": words}, {"words": answer}, TOLERANCE)
    assert "values differ" in check.reason, "all must be equal where nothing else is said"
    (check,) = parity.compare("case", {"score": words / 1.0}, {"score": answer / 1.0}, loose)
    assert "values differ" in check.reason, "numbers are numbers"


def test_values_that_cannot_be_compared_are_kept_in_the_evidence(tmp_path: Path) -> None:
    parity_found = judge({"logits": np.full((2, 2), np.nan, np.float32)})
    failure = ExportFailure(artifact_id="a", reason=parity_found.reason, log="log", parity=parity_found)
    storage.write(tmp_path / "failure.json", failure)
    again = storage.read(tmp_path / "failure.json", ExportFailure)
    assert again == failure
    assert again.parity is not None
    assert again.parity.checks[0].max_abs is None
    assert np.isnan(again.parity.max_abs)


def test_infinities_must_have_the_same_sign() -> None:
    wanted = {"x": np.array([np.inf, 1], np.float32)}
    assert parity.compare("case", wanted, {"x": np.array([np.inf, 1], np.float32)}, TOLERANCE)[0].passed
    assert not parity.compare("case", wanted, {"x": np.array([-np.inf, 1], np.float32)}, TOLERANCE)[0].passed


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), st.floats(0, 4))
def test_the_criterion_is_atol_plus_rtol_times_reference(values: list[float], factor: float) -> None:
    reference = np.array(values, np.float64)
    limit = TOLERANCE.atol + TOLERANCE.rtol * np.abs(reference)
    check = parity.compare("case", {"x": reference}, {"x": reference + factor * limit}, TOLERANCE)[0]
    difference = np.abs((reference + factor * limit) - reference)
    assert check.passed == bool((difference <= limit).all())
    assert check.max_abs == difference.max()


def test_the_evidence_says_how_far_and_where() -> None:
    answer = REFERENCE["logits"].copy()
    answer[1, 1] = np.nextafter(np.float32(100), np.float32(101))
    (check,) = judge({"logits": answer}).checks
    assert (check.max_ulp, check.worst_row, check.top1) == (1.0, 1, 1.0)
    (check,) = judge({"logits": REFERENCE["logits"][:, ::-1].copy()}).checks
    assert check.top1 == 0.0


def test_single_values_are_no_decisions_by_a_hair() -> None:
    loose = Tolerance(atol=0, rtol=0, source="this test", minimum_top1=0.4, minimum_kappa=0.4, minimum_nearest=0.7)
    score = np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    assert parity.compare("case", {"score": score}, {"score": score + np.float32(0.09)}, loose)[0].passed
    (check,) = parity.compare("case", {"score": score}, {"score": np.full_like(score, 0.5) + (score - 0.5) / 2}, loose)
    assert "rows decide differently, 2 may (top-1 agreement of 95%)" in check.reason, "half the range: within a tenth of it are 40 %"
    form_only = msgspec.structs.replace(loose, minimum_top1=0.0)
    assert parity.compare("case", {"score": score}, {"score": 1 - score}, form_only)[0].passed


def test_decisions_stand_in_for_values_where_a_minimum_is_given() -> None:
    tolerance = Tolerance(atol=0, rtol=0, source="this test", minimum_top1=0.95)
    rows = {"logits": np.eye(40, 4, dtype=np.float32) + np.eye(1, 4, dtype=np.float32)}
    answer = {"logits": rows["logits"] * 3 - 7}
    assert parity.compare("case", rows, answer, tolerance)[0].passed
    answer["logits"][:2] = -answer["logits"][:2]
    assert parity.compare("case", rows, answer, tolerance)[0].passed, "2 of 40 are the 5 % that may differ"
    answer["logits"][2] = -answer["logits"][2]
    (check,) = parity.compare("case", rows, answer, tolerance)
    assert check.reason == "3 of 40 rows decide differently, 2 may (top-1 agreement of 95%)"


def test_an_answer_that_is_nearest_to_its_own_row_is_enough_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(24, 1000)).astype(np.float32)
    wide = (wanted + rng.normal(scale=0.8, size=wanted.shape)).astype(np.float32)
    strict = Tolerance(atol=0, rtol=0, source="this test", minimum_top1=0.9)
    (check,) = parity.compare("noisy", {"y": wanted}, {"y": wide}, strict)
    assert (check.passed, check.nearest) == (False, None)
    asked = msgspec.structs.replace(strict, minimum_nearest=0.9)
    (check,) = parity.compare("noisy", {"y": wanted}, {"y": wide}, asked)
    assert (check.passed, check.nearest) == (True, 1.0)
    (check,) = parity.compare("another row's", {"y": wanted}, {"y": np.roll(wanted, 1, axis=0)}, asked)
    assert not check.passed
    assert check.reason.endswith("and 0% of the answers are nearest to their own row's")
    (check,) = parity.compare("always the same", {"y": wanted}, {"y": np.repeat(wanted[:1], 24, axis=0)}, asked)
    assert (check.passed, check.nearest) == (False, 1 / 24)


def test_a_quantised_artifact_says_what_it_was_judged_by() -> None:
    rows = np.eye(40, 4, dtype=np.float32) + np.eye(1, 4, dtype=np.float32)
    one_other, all_other = rows.copy(), -rows
    one_other[0] = -rows[0]
    tolerance = Tolerance(atol=0, rtol=0, source="this test", minimum_top1=0.95)

    def agreement(tolerance: Tolerance, **answers: np.ndarray) -> str:
        found = [parity.compare(case, {"y": rows}, {"y": answer}, tolerance)[0] for case, answer in answers.items()]
        at_the_edge = parity.compare("edge", {"y": rows}, {"y": all_other}, msgspec.structs.replace(tolerance, minimum_top1=0.0))
        assert at_the_edge[0].passed
        return Parity(tolerance=tolerance, checks=(*at_the_edge, *found)).agreement

    assert agreement(tolerance, same=rows, other=one_other) == "top-1 97.5%"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(24, 1000)).astype(np.float32)
    noisy, all_other = (rows + rng.normal(scale=0.8, size=rows.shape)).astype(np.float32), -rows
    assert agreement(msgspec.structs.replace(tolerance, minimum_nearest=0.9), same=rows, noisy=noisy) == "nearest 100.0%"
    assert Parity(tolerance=TOLERANCE, checks=parity.compare("values", {"y": rows}, {"y": rows}, TOLERANCE)).agreement == ""
    words = np.arange(100).reshape(25, 4)
    tolerance = msgspec.structs.replace(TOLERANCE, minimum_equal=0.99)
    edges = msgspec.structs.replace(tolerance, minimum_equal=0.0)
    checks = [
        *parity.compare("edge", {"y": words}, {"y": -words}, edges),
        *parity.compare("words", {"y": words}, {"y": words | 1}, tolerance),
    ]
    assert Parity(tolerance=tolerance, checks=tuple(checks)).agreement == "equal 50.0%"
    checks += parity.compare("score", {"z": rows}, {"z": rows}, tolerance)
    assert Parity(tolerance=tolerance, checks=tuple(checks)).agreement == "", "values were compared, too"


def test_an_answer_that_is_always_the_same_does_not_pass_for_decisions() -> None:
    wanted = np.tile(np.array([[2, 1]], np.float32), (100, 1))
    wanted[:4] = [[1, 2]] * 4
    tolerance = Tolerance(atol=0, rtol=0, source="this test", minimum_top1=0.95)
    always = {"y": np.tile(np.array([[2, 1]], np.float32), (100, 1))}
    (check,) = parity.compare("case", {"y": wanted}, always, tolerance)
    assert (check.passed, check.top1, check.kappa) == (True, 0.96, None)
    asked = msgspec.structs.replace(tolerance, minimum_kappa=0.4)
    (check,) = parity.compare("case", {"y": wanted}, always, asked)
    assert (check.passed, check.kappa) == (False, 0.0)
    assert "hardly more than by chance" in check.reason
    mostly = {"y": np.where(np.arange(100)[:, None] < 2, wanted, always["y"])}
    assert parity.compare("case", {"y": wanted}, mostly, asked)[0].passed
    assert parity.compare("case", always, always, asked)[0].passed, "where all decide alike nothing can be told"
    _, second = parity.compare("case", {"x": wanted, "y": wanted}, {"x": wanted, **always}, asked)
    assert second.kappa is None, "it is asked of the first output"


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_kappa_is_the_one_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    wanted, got = np.array(pairs).T
    found = parity.kappa(wanted, got)
    if found is None:
        assert len({*wanted, *got}) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(wanted, got))


@pytest.mark.parametrize(("off", "passed"), [(0.5, True), (5.0, False)])
def test_what_stands_beside_the_decision_may_agree_in_its_values(off: float, passed: bool) -> None:
    """Scores of words: which of a row's is the largest decides nothing, and a tenth of their range is 1."""
    tolerance = Tolerance(atol=0, rtol=0, source="int8", minimum_top1=0.95)
    words, scores = np.eye(40, dtype=np.float32), np.tile(np.array([0, 4.9, 5, 10, 9.9], np.float32), (40, 1))
    moved = scores + np.array([0, 0, 0, -off, 0], np.float32)
    first, second = parity.compare("samples", {"words": words, "scores": scores}, {"words": words, "scores": moved}, tolerance)
    assert first.passed
    assert (second.passed, second.top1) == (passed, 1.0 if passed else 0.0)
    assert not parity.compare("samples", {"scores": scores}, {"scores": moved}, tolerance)[0].passed, "alone it is the decision"


def test_whole_numbers_are_decisions_themselves() -> None:
    words = np.array([[5, 7, 9], [1, 2, 3]])
    assert parity.decisions(words, np.array([[5, 8, 9], [1, 2, 4]])).tolist() == [[True, False, True], [True, True, False]]


def test_one_value_a_row_decides_alike_within_a_tenth_of_the_range() -> None:
    wanted = np.linspace(0, 1, 11, dtype=np.float64)[:, None]
    assert parity.decisions(wanted, wanted + 0.09).all()
    assert not parity.decisions(wanted, wanted + 0.11).any()


def test_nothing_compared_is_not_a_pass() -> None:
    verdict = Parity(tolerance=TOLERANCE, checks=())
    assert not verdict.passed
    assert verdict.reason == "nothing was compared"


def test_the_metric_gate_is_99_percent_of_the_source() -> None:
    labels = np.arange(200) % 2
    right = np.eye(2, dtype=np.float32)[labels]
    two_wrong, three_wrong = right.copy(), right.copy()
    two_wrong[:2] = right[1::-1]
    three_wrong[:3] = 1 - right[:3]
    assert parity.accuracy(labels, right) == 1.0
    assert parity.metric_gate(labels, right, two_wrong).passed
    gate = parity.metric_gate(labels, right, three_wrong)
    assert not gate.passed
    verdict = Parity(tolerance=TOLERANCE, checks=parity.compare("case", REFERENCE, REFERENCE, TOLERANCE), metric=gate)
    assert verdict.reason == "accuracy is 0.9850, below 99% of the source's 1.0000"
