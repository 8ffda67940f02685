"""Keras's training step, compiled into one function of TensorFlow's, with or without XLA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from serveoff.errors import MissingToolError

from ..frameworks.keras import build
from ..trainers.keras import EPSILON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array

    from ..steps import Step


def limit(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):  # it would take all of the GPU's memory, and PyTorch is there, too
        tf.config.experimental.set_memory_growth(gpu, True)


class Stepper:
    """Adam on one batch, again and again."""

    def __init__(self, step: Step, weights: Mapping[str, Array]) -> None:
        gpus = tf.config.list_physical_devices("GPU")
        if step.options.device == "gpu" and not gpus:
            raise MissingToolError("TensorFlow sees no GPU here", hint="--device cpu")
        self.device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu") if gpus else "cpu"
        whole = build(step.spec, weights)
        self._model = keras.Model(whole.inputs, whole.outputs[0])
        kind = keras.losses.BinaryCrossentropy if step.binary else keras.losses.SparseCategoricalCrossentropy
        adam = keras.optimizers.Adam(step.learning_rate, epsilon=EPSILON)
        self._model.compile(adam, kind(from_logits=True), jit_compile={"auto": "auto", "on": True, "off": False}[step.options.keras_jit])
        self.mode = "tf.function with XLA" if self._model.jit_compile else "tf.function"
        self._inputs = [tf.convert_to_tensor(step.inputs[t.name]) for t in step.spec.inputs]
        self._labels = tf.convert_to_tensor(step.labels)

    def step(self) -> float:
        """One step; returns the mean of the losses from before each step so far."""
        return float(self._model.train_on_batch(self._inputs, self._labels))
