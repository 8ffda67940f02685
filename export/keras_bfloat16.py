"""A Keras model that computes in bfloat16."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from serveoff.errors import InputError

BFLOAT16 = "bfloat16"


def convert(model: Any) -> None:
    """Change `model` itself: its floating-point variables become bfloat16, and its layers compute in it. It may answer in it, too.

    Each layer casts what it is given, so ids in floating point reach an embedding whole. What lies between the layers goes by Keras' rules:
    float32 where it meets a float32 tensor. Raises InputError for a model with a layer that is quantised.

    In place, which takes any layer: a clone needs each one's config, and of a lambda or of a subclassed model there is none.
    """
    for layer in model._flatten_layers():
        if layer.quantization_mode is not None:
            raise InputError(f"the layer {layer.name!r} of the Keras model is quantised already ({layer.quantization_mode})")
        if tf.as_dtype(layer.compute_dtype).is_floating:  # that of strings or whole numbers is theirs
            layer.dtype_policy = BFLOAT16
    for variable in model.variables:
        if tf.as_dtype(variable.dtype).is_floating:
            value = tf.cast(variable.value, BFLOAT16)
            variable._dtype = BFLOAT16  # Keras has no public way to give a variable another type
            variable._initialize(value)
