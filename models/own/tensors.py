"""What goes in and out of a model of the user's own: from what the model tells, what the user said, and the samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from serveoff.contract import DType, TensorSpec
from serveoff.errors import InputError

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

UNKNOWN_SHAPE = (None,)
"""What a runtime says of a tensor whose rank the file does not tell."""
HINT = "say it: --input {name}:{dtype}:None,SIZE,... or give samples: --samples file.npz"


def inputs(told: Sequence[TensorSpec], said: Sequence[TensorSpec], samples: Tensors | None, what: str) -> tuple[TensorSpec, ...]:
    """The inputs, every dimension but the batch settled where anything settles it. Raises InputError where nothing does."""
    known = _joined(told, said, what) if told and said else tuple(told or said)
    if not known and samples is None:
        raise InputError(
            f"{what} does not tell what it takes",
            hint="describe each input: --input image:float32:None,8,8,1 or give samples: --samples file.npz",
        )
    known = known or described(samples or {})
    if samples is not None:
        known = tuple(_filled(t, samples.get(t.name)) for t in known)
    for tensor in known:
        _require_settled(tensor, what)
    return known


def fixed_batch(known: Sequence[TensorSpec], what: str) -> int | None:
    """The only batch size the model takes; None when it takes any. Raises InputError when the inputs do not agree."""
    sizes = {t.shape[0] for t in known}
    if len(sizes) != 1:
        shapes = ", ".join(f"{t.name} {_list(t.shape)}" for t in known)
        raise InputError(f"the first dimension of every input of {what} must be the batch: {shapes}")
    return sizes.pop()


def batched(known: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The same tensors with the batch as the contract writes it."""
    return tuple(msgspec.structs.replace(t, shape=(None, *t.shape[1:])) for t in known)


def described(arrays: Tensors) -> tuple[TensorSpec, ...]:
    """Arrays, batch first, as tensors."""
    return tuple(
        TensorSpec(name=name, dtype=cast("DType", "string" if a.dtype == object else a.dtype.name), shape=(None, *a.shape[1:]))
        for name, a in arrays.items()
    )


def _joined(told: Sequence[TensorSpec], said: Sequence[TensorSpec], what: str) -> tuple[TensorSpec, ...]:
    """What the user said settles what the model left open, and may not contradict it."""
    names = [t.name for t in told]
    by_name = {t.name: t for t in said}
    for name in by_name:
        if name not in names:
            raise InputError(f"{what} has no input {name!r}", hint=f"its inputs are: {', '.join(names)}")
    joined = []
    for tensor in told:
        wanted = by_name.get(tensor.name, tensor)
        open_rank = tensor.shape == UNKNOWN_SHAPE
        fits = open_rank or (
            len(wanted.shape) == len(tensor.shape) and all(t in (None, s) for t, s in zip(tensor.shape, wanted.shape, strict=True))
        )
        if wanted.dtype != tensor.dtype or not fits:
            raise InputError(
                f"input {tensor.name} of {what} is {tensor.dtype} {_list(tensor.shape)}, not {wanted.dtype} {_list(wanted.shape)}"
            )
        joined.append(wanted)
    return tuple(joined)


def _filled(tensor: TensorSpec, sample: Array | None) -> TensorSpec:
    """The sizes that the model leaves open are those of the samples."""
    if sample is None:
        return tensor
    if tensor.shape == UNKNOWN_SHAPE:
        return msgspec.structs.replace(tensor, shape=(None, *sample.shape[1:]))
    if len(sample.shape) != len(tensor.shape):
        return tensor
    rest = (size if size is not None else given for size, given in zip(tensor.shape[1:], sample.shape[1:], strict=True))
    return msgspec.structs.replace(tensor, shape=(tensor.shape[0], *rest))


def _require_settled(tensor: TensorSpec, what: str) -> None:
    hint = HINT.format(name=tensor.name, dtype=tensor.dtype)
    if not tensor.shape:
        raise InputError(f"input {tensor.name} of {what} has no batch dimension, and requests are rows")
    if None in tensor.shape[1:]:
        raise InputError(f"the size of input {tensor.name} of {what} is open: {_list(tensor.shape)}", hint=hint)


def _list(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('None' if size is None else str(size) for size in shape)}]"
