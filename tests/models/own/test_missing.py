"""What is not installed is said before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import intake
from serveoff import host, own_models
from serveoff.console import Console
from serveoff.errors import MissingToolError
from serveoff.own_models import Description
from serveoff.workspace import Workspace


@pytest.mark.parametrize(
    ("files", "lacking"),
    [
        ({"m.keras": ""}, "tensorflow"),
        ({"m.py": "def build_keras(): ..."}, "tensorflow"),
        ({"m.py": "def build_pytorch(): ..."}, "torch"),
        ({"m.py": "def build_pytorch(): ...\ndef build_keras(): ..."}, "tensorflow torch"),
        ({"m.onnx": ""}, "onnxruntime"),
        ({"m.tflite": ""}, "ai-edge-litert"),
        ({"m/config.json": "{}", "m/model.safetensors": ""}, "transformers"),
    ],
)
def test_a_missing_framework(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], lacking: str) -> None:
    workspace = Workspace(tmp_path / "w")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    path = tmp_path / next(iter(files)).partition("/")[0]
    own_models.declare(str(path), Description(), workspace)
    monkeypatch.setattr(intake, "installed", lambda name: None if name in lacking.split() else host.installed(name))
    with pytest.raises(MissingToolError) as error:
        intake.take_in("m", workspace, Console(quiet=True))
    assert error.value.message == f"{path} needs {lacking}, which is not installed"
    assert error.value.hint == f"`pip install {lacking}`, or `make setup`"
