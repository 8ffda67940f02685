"""The report's answer and its measured tables, in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from .document import Document
from .table import Mark, Table

_STYLES: dict[Mark, str] = {"": "", "good": "green", "bad": "bold red", "weak": "yellow"}
_UNBOUNDED = 1000
"""The width of a pipe or a file: nothing is wrapped or left out."""
_GAP = 2


def show(document: Document, console: Console) -> None:
    """Draw it. Columns that do not fit are left out, least important first, and that is said; a pipe or a file gets all of them."""
    with _unbounded(console):
        _show(document, console)


def draw(table: Table, console: Console) -> None:
    """One table, in the same way."""
    with _unbounded(console):
        _table(table, console)


@contextmanager
def _unbounded(console: Console) -> Iterator[None]:
    """A pipe or a file is as wide as it must be."""
    width = console.width
    if not console.is_terminal:
        console.width = _UNBOUNDED
    try:
        yield
    finally:
        console.width = width


def _show(document: Document, console: Console) -> None:
    for section in document.sections:
        _table(section.table, console)
    _table(document.skipped, console)
    console.print(Text("Which to ship", style="bold"))
    for claim in document.claims:
        answer = Text.assemble((f"{claim.answer}, {claim.figure}. ", "bold")) if claim.answer else Text()
        console.print(Text.assemble(f"- {claim.question}: ", answer, " ".join(claim.evidence)))
    if not document.claims:
        console.print(Text("No row was measured, so there is no answer."))
    for caveat in document.caveats:
        console.print(Text(caveat, style="dim"))


def _table(table: Table, console: Console) -> None:
    console.print(Text(table.title, style="bold"))
    if not table.lines:
        console.print(Text(table.empty), Text())
        return
    shown = _fitting(table, console.width)
    drawn = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim", expand=False)
    for index in shown:
        column = table.columns[index]
        drawn.add_column(Text(column.title), justify="right" if column.numeric else "left", no_wrap=column.numeric, overflow="fold")
    for row in table.lines:
        values = [row.values[index] for index in shown]
        drawn.add_row(*(Text(v.text, style=_STYLES[v.mark]) for v in values), style="dim" if row.dimmed else "")
    console.print(drawn)
    if len(shown) < len(table.columns):
        left = ", ".join(column.title for index, column in enumerate(table.columns) if index not in shown)
        console.print(Text(f"Too narrow for: {left} (they are in the report).", style="dim"))
    for index, note in enumerate(table.notes, 1):
        console.print(Text(f"[{index}] {note}"))
    console.print()


def _fitting(table: Table, width: int) -> list[int]:
    """The columns that stay: those of the lowest priorities whose widths fit; priority 0 always stays."""
    widths = [max(len(column.title), *(len(row.values[i].text) for row in table.lines)) + _GAP for i, column in enumerate(table.columns)]
    for limit in range(max(column.priority for column in table.columns), -1, -1):
        shown = [index for index, column in enumerate(table.columns) if column.priority <= limit]
        if sum(widths[index] for index in shown) <= width:
            break
    return shown
