"""Other precisions are made from the float32 file where there is one: no framework, no second conversion."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import unchanged
from export.matrix import matrix
from serveoff import artifacts, storage
from serveoff.selection import Selection
from serveoff.workspace import Workspace

Command = Callable[..., "subprocess.CompletedProcess[str]"]
FLOAT32 = "digits_cnn.pytorch.onnx.float32"


def test_what_begins_with_the_float32_file(tmp_path: Path) -> None:
    cells = list(matrix(Selection(models=("digits_cnn",), formats=("all",)), Workspace(tmp_path)))
    begins = {cell.id.removeprefix("digits_cnn."): cell.float32.removeprefix("digits_cnn.") for cell in cells if cell.float32}
    onnx = {f"{f}.onnx.{p}": f"{f}.onnx.float32" for f in ("pytorch", "keras") for p in ("int8", "int8_dynamic")}
    assert begins == onnx | {f"pytorch.tflite.{p}": "pytorch.tflite.float32" for p in ("float16", "int8_dynamic")}


def export(serveoff: Command, workspace: Workspace) -> dict[str, Any]:
    """The manifests of int8 and int8_dynamic, by precision."""
    wanted = ("--framework", "pytorch", "--format", "onnx", "--precision", "int8", "--precision", "int8_dynamic")
    done = serveoff("export", *wanted, "--no-facts", "--jobs", "2", "--json", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    return {one["manifest"]["precision"]: one["manifest"] for one in json.loads(done.stdout)["exports"]}


@pytest.mark.slow
@pytest.mark.integration
def test_it_is_made_from_what_is_there_or_from_the_model(exported: Workspace, serveoff: Command, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(exported.root, tmp_path / "w")))
    before = artifacts.read(workspace.artifacts / FLOAT32).manifest
    for manifest in export(serveoff, workspace).values():
        assert manifest["options"] == {**before.options, "made_from": FLOAT32}
        made_from = storage.read(
            workspace.artifacts / f"digits_cnn.pytorch.onnx.{manifest['precision']}" / "made_from.json", unchanged.MadeFrom
        )
        assert {"models/frameworks/pytorch.py", "export/quantisation.py"} <= made_from.code.keys(), "what went into the other one counts"
    with (workspace.artifacts / FLOAT32 / "serve" / "1" / "model.onnx").open("ab") as file:
        file.write(b"\0")  # it is not what was verified any more
    for name in ("int8", "int8_dynamic"):
        shutil.rmtree(workspace.artifacts / f"digits_cnn.pytorch.onnx.{name}")
    assert all(manifest["options"] == before.options for manifest in export(serveoff, workspace).values())
