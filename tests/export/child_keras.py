"""Exports models of Keras in bfloat16, whole and broken, and asks the gate: `child_keras.py FOLDER DIGITS_WEIGHTS`. Prints JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import tensorflow as tf
from keras import layers, ops

from export import gate, tolerances
from export.formats import savedmodel
from models import weights
from models.frameworks import keras as frameworks
from serveoff import reference
from serveoff.contract import TensorSpec, Tolerance
from serveoff.errors import InputError
from serveoff.plugins import Array, ExportJob, ModelSpec, Tensors
from serveoff.registry import MODELS

Break = Callable[[Array], Array]
BROKEN: dict[str, dict[str, tuple[str, Break]]] = {
    "digits_cnn": {
        "a layer negated": ("conv2", lambda kernel: -kernel),
        "a layer's units shuffled": ("dense1", lambda kernel: np.roll(kernel, 1, -1)),
        "outputs swapped": ("logits", lambda kernel: kernel[:, ::-1]),
        "a NaN": ("logits", lambda kernel: np.where(np.arange(kernel.shape[-1]) == 3, np.nan, kernel)),
    },
    "bert_tiny@16": {
        "a layer negated": ("layer.1.inner", lambda kernel: -kernel),
        "outputs swapped": ("classifier", lambda kernel: kernel[:, ::-1]),
    },
}
"""The layer whose kernel (float, [..., units]) becomes another one."""


def in_bfloat16(name: str, known: dict[str, Any] | None, folder: Path) -> dict[str, str]:
    """The gate's reasons by what was done to the model."""
    spec = MODELS.load(name)
    inputs, labels = spec.evaluation()
    whole = known or frameworks.initialise(spec, inputs, 0)
    # "nothing" comes first, as in a process of an export: Keras and TensorFlow count what a process has made, and names go by it
    for what, broken in {"nothing": None, **BROKEN[name]}.items():
        model = frameworks.build(spec, whole)
        if broken:
            layer, change = broken
            kernel = model.get_layer(layer).kernel
            kernel.assign(change(kernel.numpy()))
        export(spec, model, folder / what, inputs)
    answers = reference.Reference(inputs, frameworks.predict(spec, frameworks.build(spec, whole), inputs), labels)
    reference.save(folder / "answers" / "samples.npz", answers)
    tolerance = tolerances.BFLOAT16 if known else tolerances.drawn(tolerances.BFLOAT16)
    return {what: judge(spec, folder / what, folder / "answers", tolerance) for what in ("nothing", *BROKEN[name])}


def export(spec: ModelSpec, model: Any, folder: Path, inputs: Tensors) -> None:
    folder.mkdir(parents=True)
    savedmodel.export(ExportJob(spec, "keras", model, "bfloat16", folder, inputs))


def judge(spec: ModelSpec, folder: Path, references: Path, tolerance: Tolerance) -> str:
    return gate.judge(spec, savedmodel.FORMAT.serve_file, folder, references, tolerance).parity.reason


def variables(model: Path) -> list[str]:
    saved = tf.train.load_checkpoint(str(model / "variables" / "variables")).get_variable_to_dtype_map()
    return sorted({dtype.name for key, dtype in saved.items() if key.endswith("VARIABLE_VALUE")})


class Gated(keras.Model):  # type: ignore[misc]  # it cannot be made again of its config
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.wide, self.norm = scale, layers.Dense(16), layers.BatchNormalization()

    def call(self, x: Any) -> Any:
        return self.norm(self.wide(x)) * self.scale


def of_ones_own() -> Any:
    """With ids in floating point, plain numbers between the layers, and layers that no config describes."""
    ids, features = keras.Input((5,), name="ids"), keras.Input((4,), name="features")
    known = ops.mean(layers.Embedding(3000, 16, mask_zero=True)(ids), axis=1)
    x = ops.where(ops.mean(features, axis=1, keepdims=True) > 0, Gated(0.5)(features), -1.0)
    x = layers.Lambda(lambda x: ops.tanh(x) * 2)(x + 20 * known)
    choice = layers.Dense(3, name="choice")(layers.Dropout(0.5)(x))
    return keras.Model([ids, features], [choice, ops.argmax(choice, axis=-1)])


def of_ones_own_in_bfloat16(folder: Path) -> str:
    rng = np.random.default_rng(0)
    inputs: Tensors = {
        "ids": rng.integers(1, 3000, (64, 5)).astype(np.float32),
        "features": rng.normal(size=(64, 4)).astype(np.float32),
    }
    spec = ModelSpec(
        summary="",
        inputs=tuple(TensorSpec(name=name, dtype="float32", shape=(None, value.shape[1])) for name, value in inputs.items()),
        outputs=(TensorSpec(name="choice", dtype="float32", shape=(None, 3)), TensorSpec(name="place", dtype="int32", shape=(None,))),
        builds={},
        edge_inputs=dict,
    )
    model = of_ones_own()
    answers = reference.Reference(inputs, frameworks.predict(spec, model, inputs), np.full(64, -1))
    reference.save(folder / "answers" / "samples.npz", answers)
    export(spec, model, folder / "made", inputs)
    return judge(spec, folder / "made", folder / "answers", tolerances.BFLOAT16)


def without_bfloat16(folder: Path) -> str:
    """What is said of a determinant, which TensorFlow has not in bfloat16."""
    features = keras.Input((16,), name="features")
    model = keras.Model(features, ops.det(ops.reshape(layers.Dense(16)(features), (-1, 4, 4))))
    tensor = TensorSpec(name="features", dtype="float32", shape=(None, 16))
    spec = ModelSpec(
        summary="", inputs=(tensor,), outputs=(msgspec.structs.replace(tensor, name="det", shape=(None,)),), builds={}, edge_inputs=dict
    )
    try:
        export(spec, model, folder, {"features": np.ones((2, 16), np.float32)})
    except InputError as error:
        return error.message
    return ""


def main() -> None:
    folder, digits = map(Path, sys.argv[1:])
    keras.utils.set_random_seed(0)
    told: dict[str, Any] = {
        name: in_bfloat16(name, weights.load(digits) if name == "digits_cnn" else None, folder / name) for name in BROKEN
    }
    told["variables"] = {name: variables(folder / name / "nothing") for name in BROKEN}
    told |= {"own": of_ones_own_in_bfloat16(folder / "own"), "without": without_bfloat16(folder / "without")}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
