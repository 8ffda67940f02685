"""Does an answer equal its reference? One criterion for twins, exports, live servers and answers under load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from serveoff.contract import MetricGate, ParityCheck, Tolerance

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

MINIMUM_METRIC_RATIO = 0.99
"""MLPerf inference's quality target: 99 % of the reference's accuracy."""

TWINS = Tolerance(
    atol=1e-4, rtol=1e-4, source="float32, one architecture in two frameworks: sums in another order (reference: 2e-5 at most)"
)


def compare(case: str, reference: Tensors, answer: Tensors, tolerance: Tolerance) -> tuple[ParityCheck, ...]:
    """One check per reference output: name, shape, dtype, NaN and infinity, then `|a - b| <= atol + rtol * |reference|`."""
    checks = [_compare_one(case, name, value, answer.get(name), tolerance) for name, value in reference.items()]
    for name in answer.keys() - reference.keys():
        checks.append(_failed(case, name, 0, "the reference has no output of this name"))
    return tuple(checks)


def accuracy(labels: Array, scores: Array) -> float:
    """Share of rows (scores: float, [rows, classes]) whose largest score is at the label (int, [rows])."""
    return float((scores.argmax(axis=-1) == labels).mean())


def metric_gate(labels: Array, source: Array, artifact: Array) -> MetricGate:
    """The accuracy of an artifact beside the source's, on the same rows."""
    reference, value = accuracy(labels, source), accuracy(labels, artifact)
    return MetricGate(
        name="accuracy",
        source=reference,
        artifact=value,
        minimum_ratio=MINIMUM_METRIC_RATIO,
        passed=value >= MINIMUM_METRIC_RATIO * reference,
    )


def _compare_one(case: str, name: str, reference: Array, answer: Array | None, tolerance: Tolerance) -> ParityCheck:
    import numpy as np

    batch = reference.shape[0] if reference.ndim else 1
    if answer is None:
        return _failed(case, name, batch, "the output is missing")
    if answer.shape != reference.shape:
        return _failed(case, name, batch, f"shape {_list(answer.shape)} instead of {_list(reference.shape)}")
    if answer.dtype != reference.dtype:
        return _failed(case, name, batch, f"dtype {answer.dtype} instead of {reference.dtype}")
    if not np.array_equal(np.isfinite(reference), np.isfinite(answer)) or not np.array_equal(np.isnan(reference), np.isnan(answer)):
        return _failed(case, name, batch, "NaN or infinity where the reference has none, or the other way round")
    finite = np.isfinite(reference)
    wanted, got = reference[finite].astype(np.float64), answer[finite].astype(np.float64)
    difference = np.abs(got - wanted)
    max_abs = float(difference.max(initial=0.0))
    max_rel = float((difference / np.maximum(np.abs(wanted), np.finfo(np.float32).tiny)).max(initial=0.0))
    bad = int((difference > tolerance.atol + tolerance.rtol * np.abs(wanted)).sum())
    infinities = np.isinf(reference)
    bad += int((reference[infinities] != answer[infinities]).sum())
    limit = f"{tolerance.atol:g} + {tolerance.rtol:g} * |reference|"
    reason = f"{bad} of {reference.size} values differ by more than {limit}, the largest by {max_abs:.3g}"
    return ParityCheck(case=case, output=name, batch=batch, max_abs=max_abs, max_rel=max_rel, passed=bad == 0, reason=reason if bad else "")


def _failed(case: str, output: str, batch: int, reason: str) -> ParityCheck:
    return ParityCheck(case=case, output=output, batch=batch, max_abs=None, max_rel=None, passed=False, reason=reason)


def _list(shape: Sequence[int]) -> str:
    return str(list(shape))
