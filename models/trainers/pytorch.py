"""PyTorch's own training loop, in eager mode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import weights as weight_files
from ..batches import BATCH_SIZE, LEARNING_RATE
from ..frameworks.pytorch import build, predict

if TYPE_CHECKING:
    from serveoff.plugins import Array, Dataset, ModelSpec, Tensors

STATE = "{}.pt"


def initial(spec: ModelSpec, seed: int) -> dict[str, Array]:
    """The weights that PyTorch's own initialisers give a new model."""
    torch.manual_seed(seed)
    return weight_files.from_pytorch(spec.builds["pytorch"]())


class Trainer:
    """Adam on the cross-entropy of the first output, from `weights`. Deterministic."""

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Array], seed: int) -> None:
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        self._spec = spec
        self._model = build(spec, weights)
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=LEARNING_RATE)

    def epoch(self, data: Dataset, order: Array) -> float:
        """One pass over the rows in this order. Returns the mean loss of a row."""
        self._model.train()
        total = 0.0
        for rows in np.split(order, range(BATCH_SIZE, len(order), BATCH_SIZE)):
            result = self._model(*(torch.from_numpy(data.train_inputs[t.name][rows]) for t in self._spec.inputs))
            scores = result[0] if isinstance(result, tuple | list) else result
            loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(data.train_labels[rows]))
            self._optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            total += loss.item() * len(rows)
        return total / len(order)

    def scores(self, inputs: Tensors) -> Array:
        """The first output, in evaluation mode."""
        return predict(self._spec, self._model.eval(), inputs)[self._spec.outputs[0].name]

    def weights(self) -> dict[str, Array]:
        return weight_files.from_pytorch(self._model)

    def save(self, path: Path) -> None:
        """Everything that the next epoch depends on."""
        state = {"model": self._model.state_dict(), "optimiser": self._optimiser.state_dict(), "random": torch.get_rng_state()}
        torch.save(state, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
