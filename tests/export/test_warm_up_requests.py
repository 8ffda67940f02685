"""The warm-up requests beside a SavedModel and a TFLite file, as TF Serving's own message and TensorFlow's own reader see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serveoff import artifacts, reference
from serveoff.selection import Selection
from serveoff.workspace import Workspace

WITNESS = Path(__file__).with_name("child_warm_up_witness.py")
FILE = "assets.extra/tf_serving_warmup_requests"


@pytest.mark.integration
def test_they_are_what_tf_serving_replays(exported: Workspace) -> None:
    served = artifacts.find(exported, Selection(formats=("savedmodel", "tflite")))
    files = [str(artifact.version_dir / FILE) for artifact in served]
    assert len(files) == 2
    done = subprocess.run([sys.executable, str(WITNESS), *files], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    for artifact, file in zip(served, files, strict=True):
        assert f"serve/1/{FILE}" in {record.path for record in artifact.manifest.files}, "it is verified like the rest"
        (tensor,) = artifact.manifest.inputs
        for rows, (kind, signature, inputs) in zip((8, 1), seen[file], strict=True):
            sent, _ = reference.load(artifact.reference_file).slice(0, rows)
            assert (kind, signature) == ("predict_log", "serving_default")
            dtype, shape, total = inputs.pop(tensor.name)
            assert (dtype, shape) == (tensor.dtype, [rows, *tensor.shape[1:]])
            assert total == pytest.approx(float(sent[tensor.name].sum()))
            assert not inputs


@pytest.mark.integration
def test_other_formats_have_none(exported: Workspace) -> None:
    for artifact in artifacts.find(exported, Selection(frameworks=("pytorch",))):
        assert not (artifact.version_dir / FILE).exists()
