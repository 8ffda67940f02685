"""The report of one run: `report.md` and `report.html` beside its `run.json`, and the same in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import storage
from serveoff.results import RunResult

from .document import document
from .markdown import markdown
from .page import page

if TYPE_CHECKING:
    from rich.console import Console


def write_report(run_dir: Path) -> tuple[Path, Path]:
    """Read `run_dir/run.json`, write `report.md` and `report.html` beside it, and return their paths in that order.

    Raises InputError when the run cannot be read.
    """
    result = storage.read(run_dir / "run.json", RunResult)
    made = document(result)
    text, html = run_dir / "report.md", run_dir / "report.html"
    storage.write_bytes(text, markdown(made).encode())
    storage.write_bytes(html, page(made, result).encode())
    return text, html


def print_report(result: RunResult, console: Console) -> None:
    """Show the measured tables, what was skipped and the answer in `console`. Raises InputError for a damaged histogram."""
    from .terminal import show

    show(document(result), console)
