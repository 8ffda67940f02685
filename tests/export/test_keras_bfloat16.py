"""SavedModel in bfloat16: gated, broken, served, made again, and of a model of one's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from serveoff import artifacts, process
from serveoff.registry import CODE_ROOT
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Made:
    folder: Path
    told: dict[str, Any]


@pytest.fixture(scope="module")
def made(exported: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, weights = tmp_path_factory.mktemp("keras"), exported.checkpoint("digits_cnn") / "weights.safetensors"
    child = [sys.executable, str(Path(__file__).with_name("child_keras.py")), str(folder), str(weights)]
    done = subprocess.run(child, env={**os.environ, "PYTHONPATH": str(CODE_ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Made(folder, json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("model", ["digits_cnn", "bert_tiny@16"])
def test_it_passes_the_gate_and_what_is_broken_does_not(made: Made, model: str) -> None:
    assert made.told["variables"][model] == ["bfloat16"]
    reasons = dict(made.told[model])
    assert reasons.pop("nothing") == ""
    assert len(reasons) >= 2
    for what, reason in reasons.items():
        assert any(words in reason for words in ("rows decide differently", "hardly more than by chance", "NaN")), (what, reason)


def test_a_model_of_ones_own(made: Made) -> None:
    assert made.told["own"] == ""


def test_an_operation_without_bfloat16_is_named(made: Made) -> None:
    said = (
        "the Keras model does not compute in bfloat16: Exception encountered when calling Det.call(). Value for attr 'T' of bfloat16 is not"
    )
    assert made.told["without"].startswith(said), made.told["without"]


def test_another_process_writes_the_same_and_it_is_served(made: Made, exported: Workspace, serveoff: Command, tmp_path: Path) -> None:
    shutil.copytree(exported.root / "checkpoints", tmp_path / "checkpoints")
    wanted = ("--model", "digits_cnn", "--format", "savedmodel", "--precision", "bfloat16", "--no-facts")
    done = serveoff("export", *wanted, workspace=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    (artifact,) = artifacts.find(Workspace(tmp_path), Selection())
    assert artifacts.records(artifact.version_dir, "") == artifacts.records(made.folder / "digits_cnn" / "nothing", "")
    try:
        done = serveoff("serve", "--server", "embedded", "--json", workspace=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        (served,) = json.loads(done.stdout)["targets"]
        assert not served["error"]
        assert len(served["target"]["endpoints"]) == 2, "REST and gRPC, each checked"
    finally:
        process.end_all(process.owned(tmp_path), grace_s=0)
