"""Keras's own training loop: `fit`, compiled as Keras does by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from .. import weights as weight_files
from ..batches import BATCH_SIZE, LEARNING_RATE
from ..frameworks.keras import build, predict

if TYPE_CHECKING:
    from serveoff.plugins import Array, Dataset, ModelSpec, Tensors

STATE = "{}.weights.h5"
EPSILON = 1e-8
"""Adam's, as in PyTorch; Keras's own default is 1e-7."""


def initial(spec: ModelSpec, seed: int) -> dict[str, Array]:
    """The weights that Keras's own initialisers give a new model."""
    keras.utils.set_random_seed(seed)
    return weight_files.from_keras(spec.builds["keras"]())


class Trainer:
    """Adam on the cross-entropy of the first output, from `weights`."""

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Array], seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self._spec = spec
        self._model = build(spec, weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), loss)

    def epoch(self, data: Dataset, order: Array) -> float:
        """One pass over the rows in this order. Returns the mean loss of a row."""
        shuffled = [data.train_inputs[t.name][order] for t in self._spec.inputs]
        fitted = self._model.fit(shuffled, data.train_labels[order], batch_size=BATCH_SIZE, epochs=1, shuffle=False, verbose=0)
        return float(fitted.history["loss"][0])

    def scores(self, inputs: Tensors) -> Array:
        """The first output, in evaluation mode."""
        return predict(self._spec, self._model, inputs)[self._spec.outputs[0].name]

    def weights(self) -> dict[str, Array]:
        return weight_files.from_keras(self._model)

    def save(self, path: Path) -> None:
        """Weights, the optimiser's moments and step, and the state of the random layers."""
        self._model.save_weights(path, overwrite=True)

    def load(self, path: Path) -> None:
        self._model.optimizer.build(self._model.trainable_variables)  # else there is nothing to load its state into
        self._model.load_weights(path)
