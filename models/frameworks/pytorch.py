"""PyTorch: build with weights, predict, draw weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .. import initial
from .. import weights as weight_files

if TYPE_CHECKING:
    from collections.abc import Mapping

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
