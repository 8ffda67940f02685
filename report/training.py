"""The training part of the report: a section of a run's report, and a page of its own beside the training's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import storage
from serveoff.contract import TrainingRecord

from . import wording
from .accuracy import accuracy_table, gap_table, gaps
from .table import Table

if TYPE_CHECKING:
    from rich.console import Console

PAGE = "report.html"


def tables(records: Sequence[TrainingRecord]) -> tuple[Table, ...]:
    return (accuracy_table(records), *([gap_table(records)] if gaps(records) else []))


def write_page(directory: Path, records: Sequence[TrainingRecord]) -> Path:
    """`directory/report.html`, and its path."""
    from .page import render
    from .plots.curves import curves_figures

    host = records[0].host
    facts = f"{wording.clean(host.cpu_model)}, {host.logical_cores} logical cores"
    html = render("training.html", title="training", facts=facts, tables=tables(records), figures=curves_figures(records))
    path = directory / PAGE
    storage.write_bytes(path, html.encode())
    return path


def show(records: Sequence[TrainingRecord], console: Console) -> None:
    from .terminal import draw

    for table in tables(records):
        draw(table, console)
