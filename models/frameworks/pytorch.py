"""PyTorch: build with weights, train, predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import weights as weight_files
from ..batches import BATCH_SIZE, LEARNING_RATE, epochs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array, Dataset, ModelSpec, Tensors


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


def train(
    spec: ModelSpec, data: Dataset, count: int, seed: int, on_epoch: Callable[[Callable[[Tensors], Array]], None]
) -> dict[str, Array]:
    """`count` epochs of Adam on the cross-entropy of the first output. `on_epoch` gets a function from inputs to scores."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    model = spec.builds["pytorch"]()
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    first = spec.outputs[0].name
    for order in epochs(len(data.train_labels), count, seed):
        model.train()
        for rows in np.split(order, range(BATCH_SIZE, len(order), BATCH_SIZE)):
            result = model(*(torch.from_numpy(data.train_inputs[t.name][rows]) for t in spec.inputs))
            scores = result[0] if isinstance(result, tuple | list) else result
            loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(data.train_labels[rows]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        model.eval()
        on_epoch(lambda inputs: predict(spec, model, inputs)[first])
    return weight_files.from_pytorch(model)
