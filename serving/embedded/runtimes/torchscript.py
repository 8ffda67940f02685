"""TorchScript files through PyTorch.

TorchScript has no names for its tensors: our exporter stores them inside the file as `signature.json`, `{"inputs": [TensorSpec...],
"outputs": [TensorSpec...]}`. Without it there are `input_0 ...` and `output_0 ...`, float32, of unknown shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from serveoff.contract import SIGNATURE, TensorSpec
from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import UNKNOWN_SHAPE, Check, in_order, spec

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

_SIGNATURE_FILE = "signature.json"


class TorchScriptModel:
    """A traced or scripted module in inference mode. `threads` is PyTorch's number for the whole process."""

    def __init__(self, directory: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        stored: dict[str, Any] = {_SIGNATURE_FILE: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and works
            self._module: Any = torch.jit.load(str(directory / TorchScript.serve_file), map_location="cpu", _extra_files=stored)  # type: ignore[no-untyped-call]
        self._module.eval()
        self._torch = torch
        self._signature = _read(stored[_SIGNATURE_FILE]) if stored[_SIGNATURE_FILE] else _inferred(self._module)
        self._forward = self._module.forward  # without nn.Module's hooks
        self._names = [t.name for t in self._signature.inputs]
        self._checks = [Check(t) for t in self._signature.inputs]
        self.signatures: Mapping[str, Signature] = {SIGNATURE: self._signature}

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        if signature != SIGNATURE:
            raise ValueError(f"there is no signature {signature!r}, only {SIGNATURE!r}")
        values = in_order(self._names, inputs)
        for check, value in zip(self._checks, values, strict=True):
            check(value)
        from_numpy = self._torch.from_numpy
        with self._torch.inference_mode():
            try:
                # A reply's bytes are read-only, and a module may work in place: such inputs are copied.
                result = self._forward(*[from_numpy(v if v.flags.writeable else v.copy()) for v in values])
            except (RuntimeError, IndexError) as error:
                raise ValueError(f"the model refused the inputs: {_last_line(error)}") from error
            return self._named(result)

    def close(self) -> None:
        del self._module, self._forward

    def _named(self, result: Any) -> dict[str, Array]:
        if isinstance(result, dict):
            return {str(name): tensor.numpy() for name, tensor in result.items()}
        results: Sequence[Any] = result if isinstance(result, (tuple, list)) else (result,)
        names = [t.name for t in self._signature.outputs]
        if len(names) != len(results):
            names = [f"output_{i}" for i in range(len(results))]
        return {name: tensor.numpy() for name, tensor in zip(names, results, strict=True)}


def _read(text: bytes | str) -> Signature:
    try:
        described = msgspec.json.decode(text, type=dict[str, tuple[TensorSpec, ...]])
        return Signature(inputs=described["inputs"], outputs=described["outputs"])
    except (msgspec.DecodeError, KeyError) as error:
        raise ValueError(f"{_SIGNATURE_FILE} inside the file is not a signature: {error}") from error


def _inferred(module: Any) -> Signature:
    """What the module's `forward` tells: how many tensors go in. How many come out is only known after a call."""
    count = len(module.forward.schema.arguments) - 1
    inputs = tuple(spec(f"input_{i}", "float32", UNKNOWN_SHAPE) for i in range(count))
    return Signature(inputs=inputs, outputs=(spec("output_0", "float32", UNKNOWN_SHAPE),))


def _last_line(error: Exception) -> str:
    """TorchScript puts its own stack first, and the reason last."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), repr(error))


class TorchScript:
    serve_file: str = "model.pt"
    requires: tuple[str, ...] = ("torch",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        return TorchScriptModel(directory, threads)


RUNTIME: Runtime = TorchScript()
