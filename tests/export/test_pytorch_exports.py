"""bfloat16 in PyTorch's own formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serveoff.registry import CODE_ROOT
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Told = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def told(exported: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Told:
    weights = exported.checkpoint("digits_cnn") / "weights.safetensors"
    child = [sys.executable, str(Path(__file__).with_name("child_pytorch.py")), str(tmp_path_factory.mktemp("pytorch")), str(weights)]
    done = subprocess.run(child, env={**os.environ, "PYTHONPATH": str(CODE_ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: Told = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("model", ["digits_cnn", "bert_tiny@16"])
def test_bfloat16_passes_the_gate_and_what_is_broken_does_not(told: Told, model: str) -> None:
    reasons = dict(told[model])
    assert reasons.pop("torchscript") == "trace: "
    assert model != "digits_cnn" or reasons.pop("pt2") == "torch.export: "
    assert len(reasons) >= 2
    for what, reason in reasons.items():
        assert any(words in reason for words in ("rows decide differently", "hardly more than by chance", "NaN")), (what, reason)
