"""A PyTorch model that computes in bfloat16, and whose tensors in and out stay what they were: the wire and the payloads are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec


class InBfloat16(torch.nn.Module):
    """Takes and returns tensors in `model`'s order. `model` itself is changed: its floating-point parameters and buffers become bfloat16.

    Whole numbers stay whole numbers, in and out.
    """

    def __init__(self, model: torch.nn.Module, outputs: Sequence[TensorSpec]) -> None:
        super().__init__()
        self.model = model.to(torch.bfloat16)
        self._wanted = [getattr(torch, output.dtype) for output in outputs]
        self.eval()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result: Any = self.model(*(tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for tensor in tensors))
        results = result if isinstance(result, tuple | list) else (result,)
        return tuple(t.to(dtype) if t.is_floating_point() else t for t, dtype in zip(results, self._wanted, strict=True))
