"""PyTorch's training step: eager, or compiled by torch.compile where that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from serveoff.errors import MissingToolError

from ..frameworks.pytorch import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from serveoff.plugins import Array

    from ..steps import Step


def limit(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)


class Stepper:
    """Adam on one batch, again and again."""

    def __init__(self, step: Step, weights: Mapping[str, Array]) -> None:
        if step.options.device == "gpu" and not torch.cuda.is_available():
            raise MissingToolError("PyTorch sees no GPU here", hint="--device cpu")
        place = torch.device("cuda" if step.options.device == "gpu" else "cpu")
        self.device = torch.cuda.get_device_name(place) if step.options.device == "gpu" else "cpu"
        self.mode = "torch.compile" if step.options.torch_compile else "eager"
        self._model = build(step.spec, weights).to(place).train()
        self._call = torch.compile(self._model) if step.options.torch_compile else self._model
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=step.learning_rate)
        self._inputs = [torch.from_numpy(step.inputs[t.name]).to(place) for t in step.spec.inputs]
        self._labels = torch.from_numpy(step.labels).to(place)
        self._binary = step.binary

    def step(self) -> float:
        """One step; returns the loss from before it."""
        result = self._call(*self._inputs)
        scores = result[0] if isinstance(result, tuple | list) else result
        if self._binary:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, self._labels)
        else:
            loss = torch.nn.functional.cross_entropy(scores.flatten(0, -2), self._labels.flatten())
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return loss.item()
