"""TorchScript files through PyTorch.

Without a stored signature there are `input_0 ...` and `output_0 ...`, float32, of unknown shape.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import UNKNOWN_SHAPE, spec
from ._torch import SIGNATURE_FILE, TorchModel, read_signature


def _inferred(module: Any) -> Signature:
    """What the module's `forward` tells: how many tensors go in. How many come out is only known after a call."""
    count = len(module.forward.schema.arguments) - 1
    inputs = tuple(spec(f"input_{i}", "float32", UNKNOWN_SHAPE) for i in range(count))
    return Signature(inputs=inputs, outputs=(spec("output_0", "float32", UNKNOWN_SHAPE),))


class TorchScript:
    serve_file: str = "model.pt"
    requires: tuple[str, ...] = ("torch",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        import torch

        stored: dict[str, Any] = {SIGNATURE_FILE: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and works
            module: Any = torch.jit.load(str(directory / self.serve_file), map_location="cpu", _extra_files=stored)  # type: ignore[no-untyped-call]
        module.eval()
        signature = read_signature(stored[SIGNATURE_FILE]) if stored[SIGNATURE_FILE] else _inferred(module)
        return TorchModel(module.forward, signature, threads)  # without nn.Module's hooks


RUNTIME: Runtime = TorchScript()
