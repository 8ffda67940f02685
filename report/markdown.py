"""The report as Markdown that also reads well as plain text: table columns are padded."""

from __future__ import annotations

import re

from .document import Document
from .table import Table

_ACTIVE = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)")
_NOTE = re.compile(r"\\\[(\d+)\\\]")


def escape(text: str) -> str:
    """Text that Markdown shows as it is. References to notes (`[1]`) keep their plain brackets: they never link anywhere."""
    escaped = _ACTIVE.sub(lambda match: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(match[0], f"\\{match[0]}"), text)
    return _NOTE.sub(r"[\1]", escaped)


def markdown(document: Document) -> str:
    parts = [f"# {document.title}", escape(document.facts), "## Which to ship", _answers(document)]
    parts += ["## Measured", "Rows are compared within one load profile and one encoding class only, and sorted by p99."]
    parts += [_table(section.table, heading="###") for section in document.sections] or ["Nothing was measured."]
    parts += [_table(document.skipped), "## Training", *(_table(table, heading="###") for table in document.training)]
    parts += [_table(table) for table in document.background]
    return "\n\n".join(parts) + "\n"


def _answers(document: Document) -> str:
    lines = []
    for claim in document.claims:
        answer = f": **{escape(claim.answer)}**, {escape(claim.figure)}" if claim.answer else ""
        lines.append(f"- {escape(claim.question)}{answer}")
        lines += [f"  - {escape(sentence)}" for sentence in claim.evidence]
    answers = "\n".join(lines) or "No row was measured, so there is no answer."
    return "\n\n".join([answers, *(escape(caveat) for caveat in document.caveats)])


def _table(table: Table, heading: str = "##") -> str:
    parts = [f"{heading} {escape(table.title)}"]
    if not table.lines:
        return "\n\n".join([*parts, escape(table.empty)])
    parts += [escape(table.intro)] if table.intro else []
    cells = [[escape(column.title) for column in table.columns], *([escape(value.text) for value in row.values] for row in table.lines)]
    widths = [max(3, *(len(row[index]) for row in cells)) for index in range(len(table.columns))]
    rule = [("-" * (width - 1) + ":") if column.numeric else "-" * width for width, column in zip(widths, table.columns, strict=True)]
    drawn = [_row(row, widths, table) for row in (cells[0], rule, *cells[1:])]
    notes = [_numbered(index, note) for index, note in enumerate(table.notes, 1)]
    return "\n\n".join([*parts, "\n".join(drawn), *(["\n".join(notes)] if notes else [])])


def _row(cells: list[str], widths: list[int], table: Table) -> str:
    padded = [
        text.rjust(width) if column.numeric else text.ljust(width) for text, width, column in zip(cells, widths, table.columns, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _numbered(index: int, note: str) -> str:
    return f"- [{index}] {escape(note)}"
