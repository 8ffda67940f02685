"""What tf2onnx does not know by itself: the exact GELU, and the constants that Keras keeps between its layers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.integration]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

MODEL = """
import numpy as np


def build_keras():
    import keras
    from keras import layers, ops

    given = keras.Input((4,), name="features")
    x = layers.Dense(16, activation="gelu")(given)
    kept = ops.cast(ops.sum(given, axis=1, keepdims=True), "int64") > ops.arange(16, dtype="int64")
    return keras.Model(given, layers.Dense(3)(ops.where(kept, x, -x)))


def samples():
    return {"features": np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)}
"""


def test_a_model_of_ones_own_with_both(serveoff: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    wanted = ("--model", str(path), "--format", "onnx", "--precision", "float32", "--precision", "int8_dynamic")
    done = serveoff("export", *wanted, "--no-facts", "--json", workspace=tmp_path / "w")
    assert done.returncode == 0, done.stderr + done.stdout
    made = {one["manifest"]["precision"]: one["manifest"] for one in json.loads(done.stdout)["exports"]}
    assert made.keys() == {"float32", "int8_dynamic"}
    assert made["int8_dynamic"]["options"] == {**made["float32"]["options"], "made_from": "mine.keras.onnx.float32"}
    assert [tensor["name"] for tensor in made["float32"]["inputs"]] == ["features"]
