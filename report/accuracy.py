"""What training reached: each framework's accuracy over the seeds, and the gap between the two. Pure functions.

A gap is a difference, not a ratio, and seeds are few: Student's t over the seeds' paired differences. Of a mean, that is what the
bootstrap of `report.bootstrap` comes to without drawing.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from serveoff.contract import Framework
from serveoff.training import TrainingRecord

from . import wording
from .bootstrap import CONFIDENCE, Range
from .rounds import FEWEST
from .table import Column, Line, Table, Value, columns, line, number
from .verdicts import holm


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds. `interval` is None with too few of them; `p` is the two-sided probability of a mean so far from 0 by chance."""

    value: float
    interval: Range | None
    p: float | None


def mean(values: Sequence[float]) -> Mean:
    from scipy.special import stdtr, stdtrit

    centre, freedom = statistics.fmean(values), len(values) - 1
    if len(values) < FEWEST:
        return Mean(centre, None, None)
    error = statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(centre) / error)) if error > 0 else float(centre == 0)
    return Mean(centre, Range(centre - reach, centre + reach), p)


@dataclass(frozen=True, slots=True)
class Gap:
    """The candidate's last accuracy less the baseline's, over the seeds of both. `lacking` says why there is no verdict."""

    model: str
    baseline: Framework
    candidate: Framework
    seeds: int
    difference: Mean | None
    lacking: str = ""


def by_framework(records: Iterable[TrainingRecord]) -> dict[tuple[str, Framework], list[TrainingRecord]]:
    """Model and framework -> its records that have a curve, by seed."""
    found: dict[tuple[str, Framework], list[TrainingRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r.model, r.framework, r.seed)):
        if record.validation_curve:
            found[record.model, record.framework].append(record)
    return found


def gaps(records: Iterable[TrainingRecord]) -> list[Gap]:
    """PyTorch against Keras for each model that was trained in both."""
    found = by_framework(records)
    both = sorted({model for model, _ in found if (model, "keras") in found and (model, "pytorch") in found})
    return [_gap(model, found[model, "keras"], found[model, "pytorch"]) for model in both]


def _gap(model: str, baseline: Sequence[TrainingRecord], candidate: Sequence[TrainingRecord]) -> Gap:
    other = {r.seed: r for r in baseline}
    pairs = [(other[r.seed], r) for r in candidate if r.seed in other]
    sides = baseline[0].framework, candidate[0].framework
    if not pairs or any(a.epochs != b.epochs for a, b in pairs):
        return Gap(model, *sides, len(pairs), None, "other seeds or epochs")
    difference = mean([b.validation_curve[-1] - a.validation_curve[-1] for a, b in pairs])
    if any(not a.initial_sha256 or a.initial_sha256 != b.initial_sha256 for a, b in pairs):
        return Gap(model, *sides, len(pairs), difference, "each started from weights of its own")
    few = f"{len(pairs)} {'seed' if len(pairs) == 1 else 'seeds'}, a verdict needs {FEWEST}"
    return Gap(model, *sides, len(pairs), difference, "" if difference.interval else few)


def accuracy_table(records: Iterable[TrainingRecord]) -> Table:
    found = by_framework(records)
    ranged = any(len(of) >= FEWEST for of in found.values())
    seeds = "seeds" if any(len(of) > 1 for of in found.values()) else "seed"
    return Table(
        title="Accuracy",
        columns=(
            *columns(("model", "framework", seeds, "epochs"), numeric=(seeds, "epochs")),
            Column("accuracy", numeric=True),
            *((Column("95%", numeric=True),) if ranged else ()),
            Column("time", numeric=True),
            Column("samples/s", numeric=True),
            Column("parameters", numeric=True),
            Column("initial weights"),
        ),
        lines=tuple(_line(of, ranged=ranged) for of in found.values()),
        intro="Validation accuracy after the last epoch. Time is a whole training; samples/s are those of the median epoch."
        + (" Figures are means over the seeds." if ranged else ""),
        empty="No training record of these weights came with this run.",
    )


def _line(of: Sequence[TrainingRecord], *, ranged: bool) -> Line:
    first, reached = of[0], mean([r.validation_curve[-1] for r in of])
    speeds = [r.rows_per_s for r in of if r.rows_per_s is not None]
    speed = statistics.fmean(speeds) if speeds else None
    seconds = statistics.fmean(r.seconds for r in of)
    return line(
        wording.clean(first.model),
        first.framework,
        number(", ".join(str(r.seed) for r in of), first.seed),
        number(wording.count(first.epochs), first.epochs),
        number(f"{reached.value:.2%}", reached.value),
        *((_between(reached.interval),) if ranged else ()),
        number(wording.seconds(seconds), seconds),
        number(wording.rate(speed), speed),
        number(wording.count(first.parameters), first.parameters),
        f"from {first.initial_from}" if first.initial_from else "its own",
    )


def gap_table(records: Iterable[TrainingRecord]) -> Table:
    found = gaps(records)
    shown = holm([None if g.lacking or g.difference is None else g.difference.p for g in found])
    return Table(
        title="Accuracy, the frameworks compared",
        columns=columns(("model", "compared", "seeds", "gap in points", "95%", "verdict"), numeric=("seeds", "gap in points", "95%")),
        lines=tuple(
            line(
                wording.clean(g.model),
                f"{g.candidate} less {g.baseline}",
                number(wording.count(g.seeds), g.seeds),
                number(_points(g.difference.value), g.difference.value) if g.difference else number(wording.NOTHING, None),
                _between(g.difference.interval if g.difference else None, _points),
                _verdict(g, real),
            )
            for g, real in zip(found, shown, strict=True)
        ),
        intro="Seed by seed: the same initial weights and the same batches in both. The interval is over the seeds, on the same validation "
        "rows. 'No difference shown' does not say that there is none: the interval says how large it may be.",
        empty="No model was trained in both frameworks.",
    )


def _verdict(gap: Gap, real: bool) -> str:
    if gap.lacking or gap.difference is None:
        return f"not judged ({gap.lacking})"
    if not real:
        return "no difference shown"
    return f"{gap.candidate if gap.difference.value > 0 else gap.baseline} is higher"


def _points(difference: float) -> str:
    """Percentage points."""
    return f"{100 * difference:+.2f}"


def _between(interval: Range | None, text: Callable[[float], str] = "{:.2%}".format) -> Value:
    return number(f"{text(interval.low)} to {text(interval.high)}", interval.low) if interval else number(wording.NOTHING, None)
