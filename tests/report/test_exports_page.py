from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec

from report.exports import PAGE, tables, write_page
from serveoff import storage
from serveoff.artifacts import MANIFEST
from serveoff.contract import ExportFailure, Manifest, Skip, Skips
from serveoff.workspace import Workspace


def made(make: SimpleNamespace, workspace: Workspace, *skips: Skip) -> Manifest:
    """A workspace with one artifact that passed."""
    manifest: Manifest = make.manifest("keras", "tflite")
    storage.write(workspace.artifacts / manifest.id / MANIFEST, manifest)
    storage.write(workspace.artifacts / "skips.json", Skips(skips=skips))
    return manifest


def test_the_evidence_of_what_failed_is_shown_beside_what_passed(make: SimpleNamespace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    failed, crashed = "digits_cnn.pytorch.onnx.float32", "digits_cnn.pytorch.pt2.float32"
    skips = [Skip(stage="export", what=what, reason="the export failed: <b>") for what in (failed, crashed)]
    passed = made(make, workspace, *skips, Skip(stage="export", what="digits_cnn.pytorch.tflite.float32", reason="no converter"))
    parity = make.manifest("pytorch", "onnx").parity
    worst = msgspec.structs.replace(parity.checks[0], passed=False, reason="3 of 8 values <b>differ")
    broken = ExportFailure(
        artifact_id=failed, reason=worst.reason, log="export.log", parity=msgspec.structs.replace(parity, checks=(worst,))
    )
    for failure in (broken, ExportFailure(artifact_id=crashed, reason="exit code -11", log="export.log")):
        storage.write(workspace.artifacts / failure.artifact_id / "failure.json", failure)

    by_title = {table.title: [[value.text for value in line.values] for line in table.lines] for table in tables(workspace)}
    assert by_title["Failed"] == [
        [failed, "3 of 8 values <b>differ", f"{failed}/export.log"],
        [crashed, "exit code -11", f"{crashed}/export.log"],
    ]
    assert [row[1] for row in by_title["Skipped"]] == ["digits_cnn.pytorch.tflite.float32"], "what failed is no skip"
    assert [(row[0], row[-1]) for row in by_title["Parity"]] == [(passed.id, "pass"), (failed, "FAIL [2]")]
    assert [row[2] for row in by_title["Exports"]] == ["tflite"]

    path = write_page(workspace)
    assert path == workspace.artifacts / PAGE
    page = path.read_text()
    assert "3 of 8 values &lt;b&gt;differ" in page
    assert "<b>" not in page.partition("<body>")[2].partition("<script>")[0]


def test_what_cannot_be_read_is_told_and_hides_nothing(make: SimpleNamespace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    passed = made(make, workspace)
    for name, file in (("a.pytorch.onnx.float32", MANIFEST), ("b.pytorch.onnx.float32", "failure.json")):
        (workspace.artifacts / name).mkdir()
        (workspace.artifacts / name / file).write_text('{"schema": 99}')
    failed, exports, *_ = tables(workspace)
    assert [line.values[0].text for line in failed.lines] == ["a.pytorch.onnx.float32", "b.pytorch.onnx.float32"]
    assert [line.values[2].text for line in exports.lines] == [passed.format]


def test_where_nothing_failed_there_is_no_such_table(make: SimpleNamespace, tmp_path: Path) -> None:
    made(make, Workspace(tmp_path))
    assert [table.title for table in tables(Workspace(tmp_path))] == ["Exports", "Skipped", "Artifacts without a server", "Parity"]
