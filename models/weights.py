"""Weights travel between the frameworks as safetensors, in PyTorch's names and axis order: `conv1.weight` (OIHW), `dense1.bias` ..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.errors import InputError

if TYPE_CHECKING:
    from serveoff.plugins import Array

# PyTorch axis order -> Keras axis order, by the rank of the weight.
_TO_KERAS = {2: (1, 0), 4: (2, 3, 1, 0)}
_TO_PYTORCH = {2: (1, 0), 4: (3, 2, 0, 1)}


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
    return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


def from_keras(model: Any) -> dict[str, Array]:
    return {name: variable.numpy().transpose(_axes(variable, _TO_PYTORCH)) for name, variable in _keras_variables(model)}


def into_pytorch(model: Any, weights: Mapping[str, Array]) -> None:
    import torch

    _require_same(set(model.state_dict()), set(weights))
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})


def into_keras(model: Any, weights: Mapping[str, Array]) -> None:
    variables = dict(_keras_variables(model))
    _require_same(set(variables), set(weights))
    for name, variable in variables.items():
        variable.assign(weights[name].transpose(_axes(variable, _TO_KERAS)))


def _keras_variables(model: Any) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        for variable in layer.weights:
            yield f"{layer.name}.{'weight' if variable.name == 'kernel' else variable.name}", variable


def _axes(variable: Any, orders: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    rank = len(variable.shape)
    return orders[rank] if variable.name == "kernel" else tuple(range(rank))


def _require_same(wanted: set[str], given: set[str]) -> None:
    if wanted != given:
        difference = ", ".join(sorted(wanted ^ given))
        raise InputError(f"weights and model do not have the same layers: {difference}", hint="train again: `serveoff train`")
