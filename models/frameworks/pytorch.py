"""PyTorch: build with weights, predict, draw weights, read those that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from serveoff.errors import InputError

from .. import initial, pretrained
from .. import weights as weight_files

if TYPE_CHECKING:
    from pathlib import Path

    from serveoff.plugins import Array, ModelSpec, Tensors


def build(spec: ModelSpec, weights: Mapping[str, Array]) -> Any:
    """The model in evaluation mode, with these weights."""
    model = spec.builds["pytorch"]()
    weight_files.into_pytorch(model, weights)
    return model.eval()


def predict(spec: ModelSpec, model: Any, inputs: Tensors) -> dict[str, Array]:
    with torch.inference_mode():
        result = model(*(torch.from_numpy(inputs[t.name]) for t in spec.inputs))
    results = result if isinstance(result, tuple | list) else [result]
    return {t.name: value.numpy() for t, value in zip(spec.outputs, results, strict=True)}


def initialise(spec: ModelSpec, samples: Tensors, seed: int) -> dict[str, Array]:
    """Weights drawn from the seed, with what batch norm remembers measured on the samples."""
    model = spec.builds["pytorch"]()
    weight_files.into_pytorch(model, initial.draw(weight_files.from_pytorch(model), seed))
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = 1.0
    if norms:
        predict(spec, model.train(), samples)
    return weight_files.from_pytorch(model)


def read(spec: ModelSpec, path: Path) -> dict[str, Array]:
    """The weights in a file of this build's state: `torch.save(model.state_dict(), ...)`, or safetensors."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        found: Any = load_file(path)
    else:
        found = torch.load(path, map_location="cpu", weights_only=True)
    state = found.get("state_dict", found) if isinstance(found, Mapping) else found
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(
            f"{path} holds a {type(state).__name__}, and no state of tensors", hint="torch.save(model.state_dict(), path) writes it"
        )
    model = spec.builds["pytorch"]()
    pretrained.require_alike(path, _shapes(model.state_dict()), _shapes(state))
    second = {name: torch.zeros_like(value) for name, value in model.state_dict().items() if weight_files.SECOND_BIAS in name}
    model.load_state_dict({**second, **state}, strict=False)
    return weight_files.from_pytorch(model)


def _shapes(state: Mapping[str, Any]) -> dict[str, list[int]]:
    """Of what has a counterpart in both frameworks: a file of ours has one bias for an LSTM."""
    apart = (weight_files.UNCOUNTED, weight_files.SECOND_BIAS)
    return {name: list(value.shape) for name, value in state.items() if not any(part in name for part in apart)}
