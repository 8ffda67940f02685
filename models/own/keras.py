"""Keras models of the user's own: from a model file, or from a .keras or .h5 file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from serveoff import own_kinds
from serveoff.contract import TensorSpec
from serveoff.errors import InputError

from .. import weights as weight_files
from . import python_file

if TYPE_CHECKING:
    from serveoff.own_models import OwnModel
    from serveoff.plugins import Array, Tensors

    from .samples import Ids


class KerasModel:
    """A Keras model, called with a list of tensors. A functional one tells what it takes, a subclassed one does not."""

    def __init__(self, source: OwnModel) -> None:
        self._given: Any = _build(source)
        self._model: Any = self._given
        try:
            told = self._given.inputs or ()
        except AttributeError:
            told = ()
        self.inputs = tuple(TensorSpec(name=t.name, dtype=t.dtype, shape=tuple(t.shape)) for t in told)
        self.ids: Mapping[str, Ids] = {}

    def settle(self, inputs: tuple[TensorSpec, ...], samples: Tensors) -> None:
        if self.inputs:
            taken, listed = self._given.inputs, self._given.outputs
            self._names = _names(self._given, len(listed))
            self._model = keras.Model(_bare(taken), _bare(listed))  # dictionaries become lists
            return
        taken = [keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in inputs]
        try:
            answer = self._given(_bare(taken))
        except Exception as error:
            raise InputError(f"the Keras model refuses the samples: {_first_line(error)}") from error
        listed = list(answer.values()) if isinstance(answer, dict) else answer if isinstance(answer, list | tuple) else [answer]
        self._names = list(answer) if isinstance(answer, dict) else [f"output_{i}" for i in range(len(listed))]
        self._model = keras.Model(_bare(taken), _bare(listed))

    def run(self, inputs: Tensors) -> dict[str, Array]:
        try:
            results = self._model(_bare(list(inputs.values())), training=False)
        except Exception as error:
            raise InputError(f"the Keras model refuses the samples: {_first_line(error)}") from error
        listed = results if isinstance(results, tuple | list) else [results]
        return {name: np.asarray(value) for name, value in zip(self._names, listed, strict=True)}

    def weights(self) -> Mapping[str, Array]:
        return {f"{i:05}.{v.path}": v.numpy() for i, v in enumerate(self._model.weights)}

    def restore(self, weights: Mapping[str, Array]) -> None:
        kept = [weights[name] for name in sorted(weights)]
        self._model.set_weights([w.reshape(v.shape) for w, v in zip(kept, self._model.weights, strict=True)])  # a file has no scalars

    def shared(self) -> Mapping[str, Array]:
        try:
            return weight_files.from_keras(self._given)
        except KeyError as error:
            raise InputError(f"a weight of {error} dimensions has no order that both frameworks know") from error

    def adopt(self, shared: Mapping[str, Array]) -> None:
        try:
            weight_files.into_keras(self._given, shared)
        except (KeyError, ValueError) as error:
            raise InputError(f"weights of other shapes: {_first_line(error)}") from error

    def native(self) -> Any:
        return self._model


def open_model(source: OwnModel, checkpoint: Path) -> KerasModel:
    return KerasModel(source)


def _build(source: OwnModel) -> Any:
    path = Path(source.path)
    if source.kind == own_kinds.PYTHON:
        function = own_kinds.BUILDERS["keras"]
        model = python_file.call(path, function)
        if not isinstance(model, keras.Model):
            raise InputError(f"{function}() of {path} returned a {type(model).__name__}, not a keras.Model")
        return model
    try:
        return keras.models.load_model(path, compile=False, safe_mode=not source.allow_pickle)
    except Exception as error:
        said = str(error)
        if "safe_mode" in said or "unsafe deserialization" in said:
            raise InputError(
                f"{path} holds Python code (a Lambda layer), and loading it runs that code",
                hint="replace the layer by one that is a class; or, if you trust the file, say --allow-pickle",
            ) from error
        raise InputError(f"{path} is not a model that Keras can load: {_first_line(error)}") from error


def _bare(values: Any) -> Any:
    """A list, or the one thing in it."""
    return values if len(values) > 1 else values[0]


def _names(model: Any, count: int) -> list[str]:
    """The output layers' names where they tell the outputs apart."""
    names = list(getattr(model, "output_names", ()))
    return names if len(set(names)) == len(names) == count else [f"output_{i}" for i in range(count)]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
