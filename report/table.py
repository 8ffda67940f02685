"""A table before it is drawn: Markdown, HTML and the terminal show the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["", "good", "bad", "weak"]
"""`weak`: too few samples to stand on."""


@dataclass(frozen=True, slots=True)
class Column:
    """`priority` 0 is shown always; higher ones leave first when a terminal is narrow."""

    title: str
    numeric: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """`sort` orders the rows in the browser; None sorts by the text."""

    text: str
    sort: float | None = None
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One row; `dimmed` when its numbers are not to be used."""

    values: tuple[Value, ...]
    dimmed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """`empty` is said instead of a table without rows; the n-th of `notes` is referred to as [n]."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    intro: str = ""
    empty: str = ""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Notes:
    """Collects the notes of one table; equal notes share a number."""

    texts: list[str] = field(default_factory=list)

    def refer(self, text: str) -> str:
        """The mark that points to `text`: `[1]`."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def line(*values: str | Value, dimmed: bool = False) -> Line:
    return Line(tuple(Value(value) if isinstance(value, str) else value for value in values), dimmed)


def number(text: str, sort: float | None, mark: Mark = "") -> Value:
    """A figure; a missing one (None) sorts last."""
    return Value(text, float("inf") if sort is None else sort, mark)


def columns(names: Sequence[str], numeric: Sequence[str] = ()) -> tuple[Column, ...]:
    return tuple(Column(name, numeric=name in numeric) for name in names)
