"""Keras: build with weights, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import weights as weight_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array, ModelSpec, Tensors


def build(spec: ModelSpec, weights: Mapping[str, Array]) -> Any:
    """The model with these weights."""
    model = spec.builds["keras"]()
    weight_files.into_keras(model, weights)
    return model


def predict(spec: ModelSpec, model: Any, inputs: Tensors) -> dict[str, Array]:
    results = model([inputs[t.name] for t in spec.inputs] if len(spec.inputs) > 1 else inputs[spec.inputs[0].name], training=False)
    listed = results if isinstance(results, tuple | list) else [results]
    return {t.name: np.asarray(value) for t, value in zip(spec.outputs, listed, strict=True)}
