"""Which rows are compared with which, and whether they may be: two runs row by row, or two targets of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serveoff.errors import InputError, UsageError
from serveoff.results import RunResult

from . import wording
from .bootstrap import Metric
from .rows import Row, groups

_SAME_MEMORY = 0.02
"""Two boots of one machine may count its memory a little differently."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`name` says what the two share. A side is None where the other has no counterpart."""

    name: str
    baseline: Row | None
    candidate: Row | None
    metric: Metric
    """What the verdict is about, unless somebody asks for another."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """`paired`: the rounds were taken in turns, within one run. `unlike`: why nobody should compare them. `notes`: what else differs."""

    pairs: tuple[Pair, ...]
    paired: bool
    unlike: tuple[str, ...]
    notes: tuple[str, ...]


def of_runs(baseline: RunResult, candidate: RunResult) -> Pairs:
    """The rows of both with the same target, protocol and profile. Raises InputError when there is none."""
    old, new = (_keyed(side, lambda row: (row.cell.target.id, row.cell.protocol)) for side in (baseline, candidate))
    pairs = _match(old, new)
    if not old.keys() & new.keys():
        raise InputError(
            f"the runs {baseline.run_id} and {candidate.run_id} have no row in common",
            hint="rows are matched by target, protocol and profile with all its options",
        )
    unlike = [*_machines(baseline, candidate), *_plans(baseline, candidate), *_rows(pairs)]
    return Pairs(pairs, False, tuple(unlike), tuple(_notes(baseline, candidate)))


def of_targets(run: RunResult, baseline: str, candidate: str) -> Pairs:
    """The rows of two targets of one run with the same profile and protocol, else the same encoding. Raises UsageError, InputError."""
    a, b = (_target(run, text) for text in (baseline, candidate))
    spoken = [{cell.protocol for cell in run.cells if cell.target.id == identity} for identity in (a, b)]
    by: Callable[[Row], str] = (lambda row: row.cell.protocol) if spoken[0] & spoken[1] else (lambda row: row.cell.encoding)
    old, new = (_keyed(run, lambda row: (by(row),), only) for only in (a, b))
    if not old.keys() & new.keys():
        raise InputError(f"{a} and {b} have no profile and encoding in common", hint="JSON is only compared with JSON, binary with binary")
    pairs = _match(old, new)
    weights = {cell.manifest.weights_sha256 for cell in run.cells if cell.target.id in (a, b)}
    notes = ("Other weights: this compares checkpoints, too.",) if len(weights) > 1 else ()
    return Pairs(pairs, True, tuple(_rows(pairs)), notes)


_Keyed = dict[tuple[str, ...], tuple[Row, Metric]]


def _keyed(run: RunResult, key: Callable[[Row], tuple[str, ...]], only: str | None = None) -> _Keyed:
    found: _Keyed = {}
    for group in groups(run):
        for row in group.rows:
            if only is None or row.cell.target.id == only:
                found[(*(wording.clean(part) for part in key(row)), wording.profile(row.cell.profile))] = row, group.metric
    return found


def _match(old: _Keyed, new: _Keyed) -> tuple[Pair, ...]:
    made = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        known = a or b
        assert known is not None
        made.append(Pair(", ".join(key), a[0] if a else None, b[0] if b else None, known[1]))
    return tuple(made)


def _target(run: RunResult, text: str) -> str:
    """The one target whose id is, or contains, `text`."""
    known = sorted({cell.target.id for cell in run.cells})
    found = [identity for identity in known if identity == text] or [identity for identity in known if text in identity]
    if len(found) != 1:
        what = "several targets" if found else "no target"
        raise UsageError(f"{what} of run {run.run_id} match {text!r}", hint=f"its targets: {', '.join(found or known) or 'none'}")
    return found[0]


def _machines(old: RunResult, new: RunResult) -> list[str]:
    a, b = old.host, new.host
    found = []
    if a.cpu_model != b.cpu_model:
        found.append(f"processor {wording.clean(a.cpu_model)} against {wording.clean(b.cpu_model)}")
    if a.logical_cores != b.logical_cores:
        found.append(f"{a.logical_cores} against {b.logical_cores} cores")
    if abs(a.memory_bytes - b.memory_bytes) > _SAME_MEMORY * a.memory_bytes:
        found.append(f"memory {wording.memory(a.memory_bytes)} against {wording.memory(b.memory_bytes)}")
    return found


def _plans(old: RunResult, new: RunResult) -> list[str]:
    a, b = old.plan, new.plan
    facts = (
        ("profiles", *("; ".join(sorted(wording.profile(p) for p in plan.profiles)) for plan in (a, b))),
        ("warm-up", wording.warm_up(a), wording.warm_up(b)),
        ("time-out", wording.seconds(a.timeout_s), wording.seconds(b.timeout_s)),
        ("load processes", str(a.load_processes), str(b.load_processes)),
    )
    return [f"{name} {one} against {other}" for name, one, other in facts if one != other]


def _rows(pairs: tuple[Pair, ...]) -> list[str]:
    found: list[str] = []
    for pair in pairs:
        if pair.baseline is None or pair.candidate is None:
            continue
        a, b = pair.baseline.cell, pair.candidate.cell
        if a.payload_bytes != b.payload_bytes:
            found.append(f"payload {wording.size(a.payload_bytes)} against {wording.size(b.payload_bytes)} ({pair.name})")
        if a.target.threads != b.target.threads:
            found.append(f"{a.target.threads} against {b.target.threads} threads ({pair.name})")
        if a.manifest.model != b.manifest.model:
            found.append(f"model {wording.clean(a.manifest.model)} against {wording.clean(b.manifest.model)} ({pair.name})")
    return found


def _notes(old: RunResult, new: RunResult) -> list[str]:
    notes = ["The two runs did not take turns: what changed on the machine between them counts as a difference, too."]
    a = {"system": old.host.system, "Python": old.host.python} | old.host.packages
    b = {"system": new.host.system, "Python": new.host.python} | new.host.packages
    changed = [
        f"{wording.clean(name)} {wording.clean(a.get(name, 'absent'))} -> {wording.clean(b.get(name, 'absent'))}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]
    notes += [f"Changed between them: {', '.join(changed)}."] if changed else []
    weights = [{cell.manifest.id: cell.manifest.weights_sha256 for cell in run.cells} for run in (old, new)]
    other = sorted(identity for identity in weights[0].keys() & weights[1].keys() if weights[0][identity] != weights[1][identity])
    notes += [f"Other weights: {wording.clean(', '.join(other))}."] if other else []
    return notes
