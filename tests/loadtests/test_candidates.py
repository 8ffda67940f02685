"""What can be loaded: only what the running targets really serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from loadtests import candidates
from serveoff import storage
from serveoff.contract import FileRecord, Manifest
from serveoff.errors import NotReadyError
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

REPLACED = "its artifact was exported again since: `serveoff serve` starts the new one"
EXPORTED = "sums.pytorch.onnx.float32"


def export_again(workspace: Workspace) -> None:
    path = workspace.artifacts / EXPORTED / "manifest.json"
    again = FileRecord(path="serve/1/model.onnx", size_bytes=1, sha256="other")
    storage.write(path, msgspec.structs.replace(storage.read(path, Manifest), files=(again,)))


def test_a_target_whose_artifact_was_exported_again_is_left_out_and_said(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    export_again(model_workspace)
    serve_model("slow")
    ((found,),) = candidates.find(model_workspace, Selection())
    assert found.target.server == "slow"
    assert [file.sha256 for file in found.artifact.manifest.files] == ["other"]
    assert [(s.what, s.reason) for s in candidates.skips(model_workspace, Selection()) if s.stage == "loadtest"] == [
        (f"{EXPORTED}@good.process", REPLACED)
    ]
    (model_workspace.artifacts / EXPORTED / "manifest.json").unlink()
    with pytest.raises(NotReadyError, match=r"^every one of the 2 running targets serves an artifact that was exported again") as caught:
        candidates.find(model_workspace, Selection())
    assert "serveoff serve" in caught.value.hint
    assert [s.reason for s in candidates.skips(model_workspace, Selection()) if s.stage == "loadtest"] == [REPLACED] * 2


def test_a_damaged_artifact_that_the_filters_leave_out_is_not_read(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    (model_workspace.artifacts / EXPORTED / "manifest.json").write_text("{")
    none = Selection(models=("another",))
    with pytest.raises(NotReadyError, match="none of the 1 running targets passes the filters"):
        candidates.find(model_workspace, none)
    assert [s.stage for s in candidates.skips(model_workspace, none)] == ["serving"]


def test_the_same_files_exported_again_are_still_what_is_served(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    path = model_workspace.artifacts / EXPORTED / "manifest.json"
    storage.write(path, msgspec.structs.replace(storage.read(path, Manifest), created_at="2026-02-02T00:00:00+00:00"))
    ((found,),) = candidates.find(model_workspace, Selection())
    assert found.artifact.manifest.created_at == "2026-01-01T00:00:00+00:00", "the served one's"
