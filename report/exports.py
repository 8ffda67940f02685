"""What every export proved, and what failed: a page beside the artifacts, written by each export. No load test is needed for it."""

from __future__ import annotations

from pathlib import Path

from serveoff import storage
from serveoff.artifacts import MANIFEST
from serveoff.contract import ExportFailure, Manifest, Skips
from serveoff.errors import InputError
from serveoff.workspace import Workspace

from . import background, facts, proofs, wording
from .table import Table, columns, line

PAGE = "report.html"


def tables(workspace: Workspace) -> tuple[Table, ...]:
    """Of everything that is in the workspace, whichever call made it. What cannot be read is told as failed."""
    made: list[Manifest] = []
    failures: list[ExportFailure] = []
    for folder in sorted(path for path in workspace.artifacts.glob("[!.]*") if path.is_dir()):
        try:
            if (folder / MANIFEST).exists():
                made.append(storage.read(folder / MANIFEST, Manifest))
            elif (folder / "failure.json").exists():
                failures.append(storage.read(folder / "failure.json", ExportFailure))
        except InputError as error:
            failures.append(ExportFailure(artifact_id=folder.name, reason=error.message, log="export.log"))
    failed = {failure.artifact_id for failure in failures}
    skips = storage.read(workspace.artifacts / "skips.json", Skips).skips
    verdicts = {m.id: m.parity for m in made} | {f.artifact_id: f.parity for f in failures if f.parity is not None}
    return (
        *([_failures(failures)] if failures else []),
        background.exports(made),
        background.skipped([skip for skip in skips if skip.what not in failed]),
        facts.facts(made),
        proofs.proofs(dict(sorted(verdicts.items()))),
    )


def write_page(workspace: Workspace) -> Path:
    """`artifacts/report.html`, and its path."""
    from .page import render

    path = workspace.artifacts / PAGE
    html = render("exports.html", title="exports", tables=tables(workspace))
    storage.write_bytes(path, html.encode())
    return path


def _failures(failures: list[ExportFailure]) -> Table:
    return Table(
        title="Failed",
        columns=columns(("artifact", "why", "log")),
        lines=tuple(
            line(wording.clean(f.artifact_id), wording.clean(f.reason), wording.clean(f"{f.artifact_id}/{f.log}")) for f in failures
        ),
        intro="These do not exist, and nothing serves them. What their gate compared, if it came to that, stands under Parity.",
    )
