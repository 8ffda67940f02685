from __future__ import annotations

from pathlib import Path

import pytest

from export import export as stage
from serveoff import skips, storage
from serveoff.console import Console
from serveoff.contract import Skip, Skips
from serveoff.selection import Selection
from serveoff.workspace import Workspace


def test_a_partial_export_keeps_the_reasons_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    kept = Skip(stage="export", what="digits_cnn.pytorch.onnx.float32", reason="not installed: onnx")
    there_now = Skip(stage="export", what="digits_cnn.keras.tflite.float32", reason="the export failed: too big")
    stale = Skip(stage="export", what="digits_cnn.keras.savedmodel.float32", reason="the export failed: once")
    skips.update(workspace.artifacts / "skips.json", lambda _: True, [kept, there_now, stale])
    (workspace.artifacts / there_now.what).mkdir()
    (workspace.artifacts / there_now.what / "manifest.json").write_text("{}")
    for left in (".staging-digits_cnn.pytorch.onnx.float32", ".old-digits_cnn.pytorch.onnx.float32"):
        (workspace.artifacts / left / "serve").mkdir(parents=True)
    monkeypatch.setattr(stage, "_ensure_checkpoint", lambda *_: None)
    monkeypatch.setattr(stage, "_export_one", lambda cell, *_, **__: stage.Outcome(cell.id, None, "again"))
    stage.export(Selection(formats=("savedmodel",)), workspace, Console(quiet=True))
    assert storage.read(workspace.artifacts / "skips.json", Skips).skips == (
        kept,
        Skip(stage="export", what=stale.what, reason="the export failed: again"),
    )
    assert not list(workspace.artifacts.glob(".*")), "what an interrupted export left is gone"
