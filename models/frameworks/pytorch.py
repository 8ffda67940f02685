"""PyTorch: build with weights, predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

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
