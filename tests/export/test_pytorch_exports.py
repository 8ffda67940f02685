"""What PyTorch's own formats do besides: bfloat16, and TorchScript of a model that a trace would get wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff.registry import CODE_ROOT
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
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


def test_where_the_trace_is_wrong_the_model_is_scripted(told: Told) -> None:
    found = told["an if"]
    assert found["script"] == "script: "
    assert found["script, bfloat16"] == "script: ", "inside of what casts its tensors"
    assert "TorchScript: scripted, not traced: child_pytorch.py, line " in found["script, log"]
    assert found["trace"].startswith("trace: samples, batch 64, output y: ")
    assert "values differ" in found["trace"]
    *_, said = found["trace, log"].splitlines()
    assert said.startswith("TorchScript: traced, although: child_pytorch.py, line ")
    assert (
        ": Converting a tensor to a Python boolean might cause the trace to be incorrect. torch.jit.script does not take the model: "
        in said
    )
    assert said.endswith("keyword-only arguments with defaults"), "its reason, in one line"


OWN = """
import numpy as np


def build_pytorch():
    import torch

    class Limited(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

        def forward(self, x):
            if (x > 2).any():
                x = x.clamp(max=2)
            return self.layer(x)

    return Limited()


def samples():
    return {"x": np.linspace(-1, 4, 64, dtype=np.float32).repeat(4).reshape(64, 4)}
"""


def test_a_model_of_ones_own_is_scripted(serveoff: Command, tmp_path: Path) -> None:
    path = tmp_path / "limited.py"
    path.write_text(OWN)
    wanted = ("--model", str(path), "--format", "torchscript", "--precision", "float32", "--precision", "bfloat16")
    done = serveoff("export", *wanted, "--no-facts", "--json", workspace=tmp_path / "w")
    assert done.returncode == 0, done.stderr + done.stdout
    made = [one["manifest"] for one in json.loads(done.stdout)["exports"]]
    assert [manifest["precision"] for manifest in made] == ["float32", "bfloat16"]
    assert all(manifest["options"] == {"method": "script"} for manifest in made)
    assert all(tensor["dtype"] == "float32" for manifest in made for tensor in (*manifest["inputs"], *manifest["outputs"]))
