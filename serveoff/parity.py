"""Does an answer equal its reference? One criterion for twins, exports, live servers and answers under load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from serveoff.contract import MetricGate, ParityCheck, Tolerance

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

MINIMUM_METRIC_RATIO = 0.99
"""MLPerf inference's quality target: 99 % of the reference's accuracy."""

SINGLE_VALUES = 0.95
"""Of outputs of one value a row as many at least have to be alike, whatever share of decisions is asked for: no hair decides between them,
and no kappa tells when an answer says nothing. Honest int8 and bfloat16 of NCF have 100 %, with a layer negated 56 %.
"""

TWINS = Tolerance(
    atol=1e-4, rtol=1e-4, source="float32, one architecture in two frameworks: sums in another order (reference: 2e-5 at most)"
)


def compare(case: str, reference: Tensors, answer: Tensors, tolerance: Tolerance) -> tuple[ParityCheck, ...]:
    """One check per reference output: name, shape, dtype, NaN and infinity, then the tolerance's criterion.

    Decisions are asked of the first output, as the task metric is. What stands beside it may decide nothing (GNMT's scores of its words):
    it may agree in its values instead, and has no kappa.
    """
    first, others = next(iter(reference), ""), msgspec.structs.replace(tolerance, minimum_kappa=None)
    checks = [
        _compare_one(case, name, value, answer.get(name), tolerance if name == first else others, beside=name != first)
        for name, value in reference.items()
    ]
    for name in answer.keys() - reference.keys():
        checks.append(_failed(case, name, 0, "the reference has no output of this name"))
    return tuple(checks)


def accuracy(labels: Array, scores: Array) -> float:
    """Share of rows (scores: float, [rows, classes]) whose largest score is at the label (int, [rows])."""
    return float((scores.argmax(axis=-1) == labels).mean())


def metric_gate(labels: Array, source: Array, artifact: Array, minimum_ratio: float = MINIMUM_METRIC_RATIO) -> MetricGate:
    """The accuracy of an artifact beside the source's, on the same rows."""
    reference, value = accuracy(labels, source), accuracy(labels, artifact)
    return MetricGate(
        name="accuracy",
        source=reference,
        artifact=value,
        minimum_ratio=minimum_ratio,
        passed=value >= minimum_ratio * reference,
    )


def decisions(reference: Array, answer: Array) -> Array:
    """Whether each row (and step) decides alike (bool): its largest value is at the same place; whole numbers are decisions themselves.

    Where there is one value a row and so nothing to choose, it is alike within a tenth of the range of the reference's values.
    """
    import numpy as np

    if not np.issubdtype(reference.dtype, np.floating):
        equal: Array = reference == answer
        return equal
    if _chooses(reference):
        same: Array = reference.argmax(axis=-1) == answer.argmax(axis=-1)
        return same
    return _near(reference, answer)


def _chooses(reference: Array) -> bool:
    """Whether a row of these values decides for one of several."""
    return reference.ndim > 1 and reference.shape[-1] > 1


def _near(reference: Array, answer: Array) -> Array:
    import numpy as np

    return np.asarray(np.abs(answer - reference) <= np.ptp(reference) / 10)


def kappa(reference: Array, answer: Array) -> float | None:
    """Cohen's kappa of the decisions (doi:10.1177/001316446002000104): their agreement beyond chance, 1 for all and 0 for chance.

    Where most rows decide alike, an answer that is always the same agrees in most rows, and its kappa is 0. None where there is one value
    a row and so nothing to choose, and where all rows of both decide alike.
    """
    import numpy as np

    if np.issubdtype(reference.dtype, np.floating):
        if not _chooses(reference):
            return None
        reference, answer = reference.argmax(axis=-1), answer.argmax(axis=-1)
    chance = sum(float((reference == choice).mean() * (answer == choice).mean()) for choice in np.unique(reference))
    return None if chance == 1 else (float((reference == answer).mean()) - chance) / (1 - chance)


def nearest(reference: Array, answer: Array) -> float:
    """The share of rows of `answer` that are nearer (L2) to the same row of `reference` than to any other; chance is one in all rows."""
    import numpy as np

    wanted, got = (values.reshape(len(values), -1) for values in (reference, answer))
    distances = (wanted**2).sum(1) - 2 * got @ wanted.T  # squared, without what is the same for all of a row
    return float((distances.argmin(axis=1) == np.arange(len(wanted))).mean())


def _compare_one(case: str, name: str, reference: Array, answer: Array | None, tolerance: Tolerance, *, beside: bool) -> ParityCheck:
    import numpy as np

    batch = reference.shape[0] if reference.ndim else 1
    if answer is None:
        return _failed(case, name, batch, "the output is missing")
    if answer.shape != reference.shape:
        return _failed(case, name, batch, f"shape {_list(answer.shape)} instead of {_list(reference.shape)}")
    if answer.dtype != reference.dtype:
        return _failed(case, name, batch, f"dtype {answer.dtype} instead of {reference.dtype}")
    if reference.dtype == object:
        bad = int((reference != answer).sum())
        reason = f"{bad} of {reference.size} texts differ" if bad else ""
        return ParityCheck(
            case=case,
            output=name,
            batch=batch,
            max_abs=float(bad > 0),
            max_rel=float(bad > 0),
            form_only=False,
            passed=not bad,
            reason=reason,
        )
    if not np.array_equal(np.isfinite(reference), np.isfinite(answer)) or not np.array_equal(np.isnan(reference), np.isnan(answer)):
        return _failed(case, name, batch, "NaN or infinity where the reference has none, or the other way round")
    finite = np.isfinite(reference)
    wanted, got = (np.where(finite, values, 0).astype(np.float64) for values in (reference, answer))
    difference = np.abs(got - wanted)
    floating = bool(np.issubdtype(reference.dtype, np.floating))
    chosen = (wanted, got) if floating else (reference, answer)
    alike, reason = _alike(chosen[0], chosen[1], tolerance, beside=beside)
    beyond = kappa(*chosen) if tolerance.minimum_kappa is not None and reference.size else None
    if not reason and beyond is not None and tolerance.minimum_kappa is not None and beyond < tolerance.minimum_kappa:
        reason = f"the decisions agree hardly more than by chance (kappa {beyond:.2f}, at least {tolerance.minimum_kappa:g} is asked for)"
    near = nearest(wanted, got) if tolerance.minimum_nearest is not None and batch and reference.ndim else None
    if reason and near is not None and tolerance.minimum_nearest is not None:
        reason = "" if near >= tolerance.minimum_nearest else f"{reason}, and {near:.0%} of the answers are nearest to their own row's"
    if not np.array_equal(reference[np.isinf(reference)], answer[np.isinf(reference)]):
        reason = "an infinity has the other sign"
    return ParityCheck(
        case=case,
        output=name,
        batch=batch,
        max_abs=float(difference.max(initial=0.0)),
        max_rel=float((difference / np.maximum(np.abs(wanted), np.finfo(np.float32).tiny)).max(initial=0.0)),
        max_ulp=_ulp(difference, reference, finite) if floating else None,
        top1=float(alike.mean()) if alike.size else None,
        kappa=beyond,
        nearest=near,
        worst_row=int(difference.reshape(batch, -1).max(axis=1).argmax()) if reference.size else None,
        form_only=tolerance.minimum_top1 == 0 or (tolerance.minimum_equal == 0 and not floating),
        passed=not reason,
        reason=reason,
    )


def _alike(reference: Array, answer: Array, tolerance: Tolerance, *, beside: bool) -> tuple[Array, str]:
    """Which decisions are alike, and the reason against them; where no share of them is asked for, the reason against the values."""
    import numpy as np

    floating = np.issubdtype(reference.dtype, np.floating)
    alike = decisions(reference, answer) if reference.size else np.ones(0, bool)
    minimum = tolerance.minimum_equal if tolerance.minimum_top1 is None and not floating else tolerance.minimum_top1
    if minimum and floating and not _chooses(reference):
        minimum = max(minimum, SINGLE_VALUES)
    if minimum is None:
        wanted = reference.astype(np.float64)
        return alike, _excess(np.abs(answer.astype(np.float64) - wanted), wanted, tolerance)
    reason = _disagreement(alike, minimum)
    if reason and beside and floating and not _disagreement(near := _near(reference, answer), minimum):
        return near, ""
    return alike, reason


def _excess(difference: Array, wanted: Array, tolerance: Tolerance) -> str:
    bad = int((difference > tolerance.atol + tolerance.rtol * abs(wanted)).sum())
    limit = f"{tolerance.atol:g} + {tolerance.rtol:g} * |reference|"
    return f"{bad} of {wanted.size} values differ by more than {limit}, the largest by {difference.max():.3g}" if bad else ""


def _ulp(difference: Array, reference: Array, finite: Array) -> float:
    """The largest difference in units in the last place of the reference's value; around zero, of its type's epsilon."""
    import numpy as np

    places = np.spacing(np.maximum(np.abs(reference[finite]), np.finfo(reference.dtype).eps))
    return float((difference[finite] / places).max(initial=0.0))


def _disagreement(alike: Array, minimum: float) -> str:
    """Of few rows one may always differ: a share of 95 % cannot be told from 8 rows."""
    other, allowed = int(alike.size - alike.sum()), math.ceil(round((1 - minimum) * alike.size, 9))
    return "" if other <= allowed else f"{other} of {alike.size} rows decide differently, {allowed} may (top-1 agreement of {minimum:.0%})"


def _failed(case: str, output: str, batch: int, reason: str) -> ParityCheck:
    return ParityCheck(case=case, output=output, batch=batch, max_abs=None, max_rel=None, passed=False, reason=reason)


def _list(shape: Sequence[int]) -> str:
    return str(list(shape))
