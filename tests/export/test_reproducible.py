"""The same checkpoint, exported again, gives the same bytes: in every format of the default matrix."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff import artifacts
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def served(workspace: Workspace) -> dict[str, str]:
    """sha256 of each file below `serve` of each artifact."""
    made = artifacts.find(workspace, Selection())
    return {f"{each.manifest.id}/{file.path}": file.sha256 for each in made for file in artifacts.records(each.directory, "serve")}


def test_the_same_bytes(exported: Workspace, serveoff: Command, tmp_path: Path) -> None:
    again = Workspace(tmp_path / "w")
    shutil.copytree(exported.root / "checkpoints", again.root / "checkpoints")
    done = serveoff("export", "--model", "digits_cnn", "--no-facts", "--jobs", "2", workspace=again.root)
    assert done.returncode == 0, done.stderr + done.stdout
    first, second = served(exported), served(again)
    assert {path.split("/")[0] for path in first} == {
        f"digits_cnn.{made}.float32" for made in ("keras.savedmodel", "keras.tflite", "pytorch.onnx", "pytorch.torchscript")
    }
    assert [path for path in first.keys() | second.keys() if first.get(path) != second.get(path)] == []
