"""Keras: build with weights, predict, draw weights, read those that were trained elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import keras
import numpy as np

from serveoff.errors import InputError

from .. import initial, pretrained
from .. import weights as weight_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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


def read(spec: ModelSpec, path: Path) -> dict[str, Array]:
    """The weights in an HDF5 file of this build (`model.save_weights`, or the older layout), or in safetensors with PyTorch's names."""
    model = spec.builds["keras"]()
    if path.suffix == ".safetensors":
        given = weight_files.load(path)
        wanted = {name: list(value.shape) for name, value in weight_files.from_keras(model).items()}
        pretrained.require_alike(path, wanted, {name: list(value.shape) for name, value in given.items()})
        weight_files.into_keras(model, given)
    else:
        # Keras goes by the order of the layers: it would take the weights of another model with such shapes, too.
        names = [layer.name for layer in model.layers if layer.weights]
        pretrained.require_alike(path, dict.fromkeys(names), dict.fromkeys(_layers(path)))
        model.load_weights(path)
    return weight_files.from_keras(model)


def _layers(path: Path) -> list[str]:
    """The names of the layers that have weights in an HDF5 file. Raises InputError for a file that does not tell them."""
    with h5py.File(path) as file:
        older = file.get("model_weights", file)
        if "layer_names" in older.attrs:
            listed = [name.decode() if isinstance(name, bytes) else str(name) for name in older.attrs["layer_names"]]
            return [name for name in listed if len(older[name].attrs["weight_names"])]
        names = [group["vars"].attrs.get("name") for group in file.get("layers", {}).values() if _has_weights(group)]
        if not names or not all(names):
            hint = "save it again with model.save_weights() of today's Keras"
            raise InputError(f"{path} does not tell the names of its layers", hint)
        return [str(name) for name in names]


def _has_weights(group: Any) -> bool:
    found: list[Any] = []
    group.visititems(lambda _name, value: found.append(value) if isinstance(value, h5py.Dataset) else None)
    return bool(found)
