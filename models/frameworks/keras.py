"""Keras: build with weights, predict, draw weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .. import initial
from .. import weights as weight_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array, ModelSpec, Tensors


def build(spec: ModelSpec, weights: Mapping[str, Array]) -> Any:
    """The model with these weights."""
    model = spec.builds["keras"]()
    weight_files.into_keras(model, weights)
    return model


def predict(spec: ModelSpec, model: Any, inputs: Tensors, *, training: bool = False) -> dict[str, Array]:
    results = model([inputs[t.name] for t in spec.inputs] if len(spec.inputs) > 1 else inputs[spec.inputs[0].name], training=training)
    listed = results if isinstance(results, tuple | list) else [results]
    return {t.name: np.asarray(value) for t, value in zip(spec.outputs, listed, strict=True)}


def initialise(spec: ModelSpec, samples: Tensors, seed: int) -> dict[str, Array]:
    """Weights drawn from the seed, with what batch norm remembers measured on the samples."""
    model = spec.builds["keras"]()
    weight_files.into_keras(model, initial.draw(weight_files.from_keras(model), seed))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        predict(spec, model, samples, training=True)
    return weight_files.from_keras(model)
