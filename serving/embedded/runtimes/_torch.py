"""What the PyTorch runtimes share: a callable of tensors, and the signature that travels inside the file as `signature.json`.

PyTorch's own files have no (TorchScript) or only half of the names (PT2) of their tensors. Our exporters store
`{"inputs": [TensorSpec...], "outputs": [TensorSpec...]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from serveoff.contract import SIGNATURE, TensorSpec
from serveoff.plugins import Signature

from ._tensors import Check, in_order

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

SIGNATURE_FILE = "signature.json"


class TorchModel:
    """`forward` takes tensors in the order of the signature, and returns one, a sequence or a dict of them.

    `threads` is PyTorch's number for the whole process. With `same_rows` all inputs must agree in their dynamic first dimension.
    """

    def __init__(self, forward: Callable[..., Any], signature: Signature, threads: int, *, same_rows: bool = False) -> None:
        import torch

        torch.set_num_threads(threads)
        self._torch = torch
        self._forward = forward
        self._outputs = [t.name for t in signature.outputs]
        self._names = [t.name for t in signature.inputs]
        self._checks = [Check(t) for t in signature.inputs]
        batched = [index for index, t in enumerate(signature.inputs) if t.shape and t.shape[0] is None]
        self._batched = batched if same_rows and len(batched) > 1 else []
        self.signatures: Mapping[str, Signature] = {SIGNATURE: signature}

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        if signature != SIGNATURE:
            raise ValueError(f"there is no signature {signature!r}, only {SIGNATURE!r}")
        values = in_order(self._names, inputs)
        for check, value in zip(self._checks, values, strict=True):
            check(value)
        if self._batched and len({len(values[index]) for index in self._batched}) > 1:
            sizes = ", ".join(f"{self._names[index]}: {len(values[index])}" for index in self._batched)
            raise ValueError(f"the inputs differ in the size of their first dimension: {sizes}")
        from_numpy = self._torch.from_numpy
        with self._torch.inference_mode():
            try:
                # A reply's bytes are read-only, and a module may work in place: such inputs are copied.
                result = self._forward(*[from_numpy(v if v.flags.writeable else v.copy()) for v in values])
            except (RuntimeError, IndexError) as error:
                raise ValueError(f"the model refused the inputs: {_last_line(error)}") from error
            return self._named(result)

    def close(self) -> None:
        del self._forward

    def _named(self, result: Any) -> dict[str, Array]:
        if isinstance(result, dict):
            return {str(name): tensor.numpy() for name, tensor in result.items()}
        results: Sequence[Any] = result if isinstance(result, (tuple, list)) else (result,)
        names = self._outputs
        if len(names) != len(results):
            names = [f"output_{i}" for i in range(len(results))]
        return {name: tensor.numpy() for name, tensor in zip(names, results, strict=True)}


def read_signature(text: bytes | str) -> Signature:
    """The stored signature. Raises ValueError."""
    try:
        described = msgspec.json.decode(text, type=dict[str, tuple[TensorSpec, ...]])
        return Signature(inputs=described["inputs"], outputs=described["outputs"])
    except (msgspec.DecodeError, KeyError) as error:
        raise ValueError(f"{SIGNATURE_FILE} inside the file is not a signature: {error}") from error


def _last_line(error: Exception) -> str:
    """PyTorch puts its own stack first, and the reason last."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), repr(error))
