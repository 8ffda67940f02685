"""A comparison in a terminal: a line for each figure of each pair, then the objectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.markup import escape

from . import wording
from .compare import Figures, Line, Outcome
from .objectives import Judged

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"slower": "bold red", "faster": "green", "not judged": "yellow"}


def tables(outcome: Outcome, make: Callable[..., Table]) -> list[Table]:
    """`make(title, *columns)` makes an empty table; a column that starts with '>' is a number."""
    shown = make(
        f"{outcome.candidate} against {outcome.baseline}",
        "row",
        "figure",
        ">baseline",
        ">candidate",
        ">ratio",
        ">95%",
        ">rounds",
        "verdict",
    )
    for line in outcome.lines:
        _add(shown, line)
    if not outcome.objectives:
        return [shown]
    kept = make("Objectives", "row", "objective", ">candidate", "kept")
    for each in outcome.objectives:
        kept.add_row(escape(each.row), escape(each.objective), _objective(each), _kept(each))
    return [shown, kept]


def _add(shown: Table, line: Line) -> None:
    verdict = escape(line.verdict + (f": {line.reason}" if line.reason else ""))
    style = _STYLES.get(line.verdict, "")
    verdict = f"[{style}]{verdict}[/]" if style else verdict
    if not line.figures:
        shown.add_row(escape(line.row), wording.NOTHING, *[wording.NOTHING] * 5, verdict)
    for number, each in enumerate(line.figures):
        shown.add_row(
            escape(line.row) if number == 0 else "",
            each.metric,
            _text(each.baseline, each),
            _text(each.candidate, each),
            wording.NOTHING if each.ratio is None else f"{each.ratio:.3f}",
            wording.NOTHING if each.low is None else f"{each.low:.3f} to {each.high:.3f}",
            str(line.rounds),
            verdict if each.primary else f"[dim]{escape(each.lacking)}[/]",
        )


def _text(value: float | None, each: Figures) -> str:
    if value is None:
        return wording.NOTHING
    return f"{wording.rate(value)}/s" if each.unit != "us" else f"{wording.milliseconds(round(value))} ms"


def _objective(each: Judged) -> str:
    if each.value is None:
        return wording.NOTHING
    if each.objective.startswith(("throughput", "capacity")):
        return f"{wording.rate(each.value)}/s"
    return f"{wording.milliseconds(round(each.value))} ms"


def _kept(each: Judged) -> str:
    if each.kept is None:
        return f"[yellow]not judged: {escape(each.reason)}[/]"
    sure = ", but its interval reaches across the limit" if each.certain is False else ""
    return f"[green]kept{sure}[/]" if each.kept else f"[bold red]broken{sure}[/]"
