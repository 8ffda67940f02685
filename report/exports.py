"""What every export proved, and what failed: a page beside the artifacts, written by each export. No load test is needed for it."""

from __future__ import annotations

from pathlib import Path

from serveoff import artifacts, host, storage
from serveoff.contract import ExportFailure, Skips
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from . import background, facts, proofs, wording
from .table import Table, columns, line

PAGE = "report.html"


def tables(workspace: Workspace) -> tuple[Table, ...]:
    """Of everything that is in the workspace, whichever call made it. Raises InputError for a file that cannot be read."""
    made = [artifact.manifest for artifact in artifacts.find(workspace, Selection())]
    failures = [storage.read(path, ExportFailure) for path in sorted(workspace.artifacts.glob("[!.]*/failure.json"))]
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

    here = host.facts()
    html = render(
        "exports.html",
        title="exports",
        facts=f"{wording.clean(here.cpu_model)}, {here.logical_cores} logical cores",
        tables=tables(workspace),
    )
    path = workspace.artifacts / PAGE
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
