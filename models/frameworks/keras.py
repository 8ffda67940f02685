"""Keras: build with weights, train, predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .. import weights as weight_files
from ..batches import BATCH_SIZE, LEARNING_RATE, epochs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array, Dataset, ModelSpec, Tensors


def build(spec: ModelSpec, weights: Mapping[str, Array]) -> Any:
    """The model with these weights."""
    model = spec.builds["keras"]()
    weight_files.into_keras(model, weights)
    return model


def predict(spec: ModelSpec, model: Any, inputs: Tensors) -> dict[str, Array]:
    results = model([inputs[t.name] for t in spec.inputs] if len(spec.inputs) > 1 else inputs[spec.inputs[0].name], training=False)
    listed = results if isinstance(results, tuple | list) else [results]
    return {t.name: np.asarray(value) for t, value in zip(spec.outputs, listed, strict=True)}


def train(
    spec: ModelSpec, data: Dataset, count: int, seed: int, on_epoch: Callable[[Callable[[Tensors], Array]], None]
) -> dict[str, Array]:
    """`count` epochs of Adam on the cross-entropy of the first output. `on_epoch` gets a function from inputs to scores."""
    keras.utils.set_random_seed(seed)
    model = spec.builds["keras"]()
    model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = spec.outputs[0].name
    for order in epochs(len(data.train_labels), count, seed):
        shuffled = [data.train_inputs[t.name][order] for t in spec.inputs]
        model.fit(shuffled, data.train_labels[order], batch_size=BATCH_SIZE, epochs=1, shuffle=False, verbose=0)
        on_epoch(lambda inputs: predict(spec, model, inputs)[first])
    return weight_files.from_keras(model)
