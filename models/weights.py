"""Weights travel between the frameworks as safetensors, in PyTorch's names and axis order: `conv1.weight` (OIHW), `dense1.bias` ...

An LSTM's two biases are one here (Keras has one): their sum, under the first one's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.errors import InputError

if TYPE_CHECKING:
    from serveoff.plugins import Array

_NAMES = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""Keras variable -> what PyTorch calls it, where they differ; for LSTMs, see below."""
_LSTM_NAMES = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias_ih"}
UNCOUNTED = "num_batches_tracked"
"""A counter beside PyTorch's batch norm, which no answer depends on."""
SECOND_BIAS = ".bias_hh"

# PyTorch axis order -> Keras axis order, by the rank of the kernel; a depthwise one counts its channels elsewhere.
_TO_KERAS = {2: (1, 0), 4: (2, 3, 1, 0)}
_DEPTHWISE_TO_KERAS = (2, 3, 0, 1)


def save(path: Path, weights: Mapping[str, Array]) -> None:
    import numpy as np
    from safetensors.numpy import save as serialise

    from serveoff import storage

    storage.write_bytes(path, serialise({name: np.ascontiguousarray(value) for name, value in sorted(weights.items())}))


def load(path: Path) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path} does not hold weights: {error}", hint="train again: `serveoff train`") from None


def from_pytorch(model: Any) -> dict[str, Array]:
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items() if not name.endswith(UNCOUNTED)}
    for second in [name for name in weights if SECOND_BIAS in name]:
        first = second.replace(SECOND_BIAS, ".bias_ih")
        weights[first] = weights[first] + weights.pop(second)
    return weights


def from_keras(model: Any) -> dict[str, Array]:
    return {name: variable.numpy().transpose(_inverse(axes)) for name, variable, axes in _keras_variables(model)}


def into_pytorch(model: Any, weights: Mapping[str, Array]) -> None:
    import torch

    state = model.state_dict()
    second = {name for name in state if SECOND_BIAS in name}
    _require_same({name for name in state if not name.endswith(UNCOUNTED)} - second, set(weights))
    given = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    model.load_state_dict({**state, **given, **{name: torch.zeros_like(state[name]) for name in second}})


def into_keras(model: Any, weights: Mapping[str, Array]) -> None:
    variables = list(_keras_variables(model))
    _require_same({name for name, _, _ in variables}, set(weights))
    for name, variable, axes in variables:
        variable.assign(weights[name].transpose(axes))


def _keras_variables(model: Any) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Each variable with its name in PyTorch, and the axes that bring PyTorch's order into its own."""
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "Bidirectional":
            yield from _lstm_variables(layer.name, layer.forward_layer, "_l0")
            yield from _lstm_variables(layer.name, layer.backward_layer, "_l0_reverse")
        elif kind in ("LSTM", "LSTMCell"):
            yield from _lstm_variables(layer.name, layer, "_l0" if kind == "LSTM" else "")
        else:
            for variable in layer.weights:
                name = f"{layer.name}.{_NAMES.get(variable.name, variable.name)}"
                yield name, variable, _DEPTHWISE_TO_KERAS if kind == "DepthwiseConv2D" and variable.name == "kernel" else _axes(variable)


def _lstm_variables(name: str, layer: Any, suffix: str) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Both frameworks have the gates in the order input, forget, cell, output."""
    for variable in layer.weights:
        yield f"{name}.{_LSTM_NAMES[variable.name]}{suffix}", variable, (1, 0) if len(variable.shape) == 2 else (0,)


def _axes(variable: Any) -> tuple[int, ...]:
    rank = len(variable.shape)
    return _TO_KERAS[rank] if variable.name == "kernel" else tuple(range(rank))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes.index(axis) for axis in range(len(axes)))


def _require_same(wanted: set[str], given: set[str]) -> None:
    if wanted != given:
        difference = ", ".join(sorted(wanted ^ given))
        raise InputError(f"weights and model do not have the same layers: {difference}", hint="train again: `serveoff train`")
