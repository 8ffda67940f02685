"""Candidate against baseline, for a person and for a gate: each pair's figures, ratios with intervals, a verdict, the objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serveoff import storage
from serveoff.errors import GateError, InputError, UsageError
from serveoff.results import RunResult

from . import objectives, pairs, wording
from .bootstrap import CAPACITY, METRICS, THROUGHPUT, Metric
from .objectives import Judged, Objective
from .pairs import Pair, Pairs
from .percentiles import estimate
from .rows import Row
from .verdicts import Comparison, Word, compare, judge

SHOWN = (METRICS["p50"], METRICS["p99"], THROUGHPUT)


@dataclass(frozen=True, slots=True)
class Figures:
    """One metric of a pair: microseconds, or replies per second. The interval is None where there are too few rounds or replies."""

    metric: str
    unit: str
    baseline: float | None
    candidate: float | None
    ratio: float | None
    low: float | None
    high: float | None
    primary: bool
    lacking: str


@dataclass(frozen=True, slots=True)
class Line:
    """A pair and its verdict, which is about its primary metric. `reason` says why it is not judged."""

    row: str
    rounds: int
    figures: tuple[Figures, ...]
    verdict: Word
    reason: str
    expected: bool
    """Whether the baseline could be judged, so that a verdict was to be expected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    baseline: str
    candidate: str
    paired: bool
    lines: tuple[Line, ...]
    objectives: tuple[Judged, ...]
    unlike: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> list[Line]:
        return [line for line in self.lines if line.verdict == "slower"]

    @property
    def broken(self) -> list[Judged]:
        return [each for each in self.objectives if each.kept is False]

    @property
    def open(self) -> list[str]:
        """What a gate had to judge and could not, in words."""
        rows = [f"{line.row}: {line.reason}" for line in self.lines if line.verdict == "not judged" and line.expected]
        if not rows and all(line.verdict == "not judged" for line in self.lines):
            rows = [f"{line.row}: {line.reason}" for line in self.lines]
        return [*rows, *(f"{each.row}, {each.objective}: {each.reason}" for each in self.objectives if each.kept is None)]


def compare_runs(
    baseline: Path,
    candidate: Path | None,
    targets: tuple[str, str] | None,
    slo: Sequence[str] = (),
    metric: str | None = None,
    *,
    force: bool = False,
) -> Outcome:
    """Two runs' directories, or one and two of its `targets`. Raises InputError when they are unlike, unless `force`."""
    if (candidate is None) == (targets is None):
        raise UsageError(
            "there must be either two runs or one run with --baseline and --candidate",
            hint="`serveoff compare RUN_A RUN_B`, or `serveoff compare RUN --baseline TARGET --candidate TARGET`",
        )
    if metric is not None and metric not in METRICS:
        raise UsageError(f"there is no metric {metric!r}", hint=f"known: {', '.join(METRICS)}")
    wanted = [objectives.parse(text) for text in slo]
    first = storage.read(baseline / "run.json", RunResult)
    if targets is not None:
        found, names = pairs.of_targets(first, *targets), targets
    else:
        assert candidate is not None
        second = storage.read(candidate / "run.json", RunResult)
        found, names = pairs.of_runs(first, second), (first.run_id, second.run_id)
    if found.unlike and not force:
        raise InputError(
            f"{names[0]} and {names[1]} were not measured alike: {'; '.join(found.unlike)}", hint="`--force` compares them all the same"
        )
    return outcome(found, names, wanted, None if metric is None else METRICS[metric])


def outcome(found: Pairs, names: tuple[str, str], wanted: Sequence[Objective], metric: Metric | None = None) -> Outcome:
    judged = [_compared(pair, metric, paired=found.paired) for pair in found.pairs]
    words = judge([main for main, _ in judged])
    lines = [
        _line(pair, main, others, word, paired=found.paired) for pair, (main, others), word in zip(found.pairs, judged, words, strict=True)
    ]
    kept = [objectives.judge(each, pair.candidate, pair.name) for each in wanted for pair in found.pairs if pair.candidate is not None]
    old, new = (wording.clean(name) for name in names)
    return Outcome(old, new, found.paired, tuple(lines), tuple(kept), found.unlike, found.notes)


def gate(result: Outcome, *, force: bool = False) -> None:
    """Raises GateError for a regression or a broken objective, and InputError for what could not be judged, unless `force`."""
    failed = (
        [f"{len(result.regressions)} of {len(result.lines)} rows shown to be slower, first {result.regressions[0].row}"]
        if (result.regressions)
        else []
    )
    if result.broken:
        worst = result.broken[0]
        failed.append(f"{len(result.broken)} of {len(result.objectives)} objectives broken, first {worst.objective} by {worst.row}")
    if failed:
        raise GateError("; ".join(failed), hint="the table says by how much")
    if result.open and not force:
        raise InputError(
            f"{len(result.open)} of {len(result.lines) + len(result.objectives)} could not be judged, first {result.open[0]}",
            hint="measure with `--rounds 5` or longer, or let it pass with --force",
        )


def _compared(pair: Pair, metric: Metric | None, *, paired: bool) -> tuple[Comparison, list[Comparison]]:
    """The comparison that the verdict is about, and those of all metrics."""
    main = metric or pair.metric
    flaw = _flaw(pair)
    if flaw or pair.baseline is None or pair.candidate is None:
        return Comparison(main, None, None, flaw), []
    shown = [*SHOWN, *([] if main in SHOWN else [main])]
    made = [compare(pair.baseline.rounds, pair.candidate.rounds, each, paired=paired) for each in shown]
    return made[shown.index(main)], made


def _flaw(pair: Pair) -> str:
    for side, row in (("baseline", pair.baseline), ("candidate", pair.candidate)):
        if row is None:
            return f"the {side} has no such row"
        if not row.usable:
            why = "; ".join(map(wording.clean, row.reasons)) or "its answers are not the model's"
            return f"the {side}'s row is INVALID: {why}"
    return ""


def _line(pair: Pair, main: Comparison, made: list[Comparison], word: Word, *, paired: bool) -> Line:
    figures = tuple(_figures(pair, each, primary=each is main) for each in made)
    a, b = ({r.number for r in row.rounds} if row else set() for row in (pair.baseline, pair.candidate))
    rounds = len(a & b) if paired else min(len(a), len(b))
    expected = pair.baseline is not None and pair.baseline.usable
    return Line(pair.name, rounds, figures, word, main.lacking, expected)


def _figures(pair: Pair, comparison: Comparison, *, primary: bool) -> Figures:
    metric, ratio = comparison.metric, comparison.ratio
    return Figures(
        metric=metric.name,
        unit="replies/s" if metric is THROUGHPUT else "requests/s" if metric is CAPACITY else "us",
        baseline=_value(pair.baseline, metric),
        candidate=_value(pair.candidate, metric),
        ratio=comparison.value,
        low=ratio.interval.low if ratio else None,
        high=ratio.interval.high if ratio else None,
        primary=primary,
        lacking=comparison.lacking,
    )


def _value(row: Row | None, metric: Metric) -> float | None:
    if row is None or row.latency is None:
        return None
    if metric.quantile is None:
        return row.capacity_rps if metric is CAPACITY else row.throughput
    found = estimate(row.latency, metric.quantile, row.unsent)
    return None if found is None else float(found.value_us)
