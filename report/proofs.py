"""The table of every comparison that an export's gate made: how far, where, and against which criterion."""

from __future__ import annotations

from collections.abc import Mapping

from serveoff.contract import Parity, ParityCheck, Tolerance

from . import wording
from .table import Column, Line, Notes, Table, Value, line, number

_COLUMNS = (
    Column("artifact"),
    Column("inputs"),
    Column("output"),
    Column("rows", numeric=True),
    Column("max abs", numeric=True),
    Column("max rel", numeric=True),
    Column("ULP", numeric=True),
    Column("top-1", numeric=True),
    Column("kappa", numeric=True),
    Column("nearest", numeric=True),
    Column("worst row", numeric=True),
    Column("criterion"),
    Column("verdict"),
)


def proofs(of: Mapping[str, Parity]) -> Table:
    """`of`: the gate's verdict by the artifact's id."""
    notes = Notes()
    return Table(
        title="Parity",
        columns=_COLUMNS,
        lines=tuple(_line(name, parity.tolerance, check, notes) for name, parity in of.items() for check in parity.checks),
        intro="Every comparison that an export's gate made with its source model. ULP: units in the last place of the source's value. "
        "Top-1: the share of rows whose largest value is at the same place; kappa: the same beyond chance, from 0 to 1, for an answer that "
        "is always the same agrees with many rows, too; nearest, of random weights: the share of rows whose answer "
        "is nearer to the source's than to its answer to any other row. The worst row has the largest difference. "
        "Where edge inputs have larger answers than the samples, the criterion's absolute part is larger for them, too. "
        "Of a quantised artifact's edge inputs only shapes, types and NaN count: what lies beyond the calibrated range is cut off. "
        "Notes on a criterion say where its numbers come from.",
        empty="Nothing was compared.",
        notes=tuple(notes.texts),
    )


def _line(name: str, tolerance: Tolerance, check: ParityCheck, notes: Notes) -> Line:
    criterion = "shape, type and NaN"
    if not check.form_only:
        criterion = wording.criterion(tolerance)
        criterion += f" {notes.refer(f'{criterion}: {wording.clean(tolerance.source)}.')}"
    verdict = Value("pass", mark="good") if check.passed else Value(f"FAIL {notes.refer(f'{wording.clean(check.reason)}.')}", mark="bad")
    return line(
        wording.clean(name),
        wording.clean(check.case),
        wording.clean(check.output),
        number(wording.count(check.batch), check.batch),
        *(_difference(value) for value in (check.max_abs, check.max_rel)),
        _places(check.max_ulp),
        _share(check.top1),
        number(wording.NOTHING if check.kappa is None else f"{check.kappa:.2f}", check.kappa),
        _share(check.nearest),
        number(wording.NOTHING if check.worst_row is None else str(check.worst_row), check.worst_row),
        criterion,
        verdict,
    )


def _places(value: float | None) -> Value:
    return number(wording.count(round(value)), value) if value is not None and value < 1e5 else _difference(value)


def _share(value: float | None) -> Value:
    return number(wording.NOTHING if value is None else wording.share(value), value)


def _difference(value: float | None) -> Value:
    return number(wording.NOTHING if value is None else wording.difference(value), value)
