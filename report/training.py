"""The training part of the report: a section of a run's report, and a page of its own beside the training's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import host, storage
from serveoff.training import ThroughputResult, TrainingRecord
from serveoff.workspace import Workspace

from . import wording
from .accuracy import accuracy_table, gap_table, gaps
from .speeds import speed_table
from .table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from .plots.figure import Figure

PAGE = "report.html"


def tables(records: Sequence[TrainingRecord], throughput: ThroughputResult | None) -> tuple[Table, ...]:
    made = [accuracy_table(records)] if records or throughput is None else []
    made += [gap_table(records)] if gaps(records) else []
    return (*made, *([speed_table(throughput)] if throughput else []))


def figures(records: Sequence[TrainingRecord], throughput: ThroughputResult | None) -> list[Figure]:
    from .plots.curves import curves_figures
    from .plots.speeds import speeds_figure

    speeds = speeds_figure(throughput) if throughput else None
    return [*curves_figures(records), *([speeds] if speeds else [])]


def write_page(workspace: Workspace) -> Path:
    """`training/report.html` of everything that was trained or measured in this workspace, and its path."""
    from .page import render

    records = [storage.read(path, TrainingRecord) for path in sorted((workspace.root / "checkpoints").glob("*/training-*.json"))]
    throughput = storage.read(workspace.throughput, ThroughputResult) if workspace.throughput.exists() else None
    facts = host.facts()
    html = render(
        "training.html",
        title="training",
        facts=f"{wording.clean(facts.cpu_model)}, {facts.logical_cores} logical cores, "
        + ", ".join(f"{name} {facts.packages[name]}" for name in ("torch", "tensorflow", "keras") if name in facts.packages),
        tables=tables(records, throughput),
        figures=figures(records, throughput),
    )
    path = workspace.training / PAGE
    storage.write_bytes(path, html.encode())
    return path


def show(made: Sequence[Table], console: Console) -> None:
    from .terminal import draw

    for table in made:
        draw(table, console)
