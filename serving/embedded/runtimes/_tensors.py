"""What all runtimes share: tensor descriptions in the contract's words, and inputs in the signature's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast, get_args

from serveoff.contract import DType, TensorSpec

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

_DTYPES = frozenset(get_args(DType))

UNKNOWN_SHAPE = (None,)
"""For tensors whose rank the file does not tell."""


def spec(name: str, dtype: str, shape: Iterable[int | str | None]) -> TensorSpec:
    """A described tensor; whatever is not a size of at least 0 is a dynamic dimension. Raises ValueError for an unsupported dtype."""
    if dtype not in _DTYPES:
        raise ValueError(f"tensor {name!r} is of type {dtype}, which is not supported")
    sizes = tuple(size if isinstance(size, int) and size >= 0 else None for size in shape)
    return TensorSpec(name=name, dtype=cast("DType", dtype), shape=sizes)


class Check:
    """What an input must be, made ready to be asked once a call: a dtype's name alone costs numpy a microsecond."""

    __slots__ = ("_dtype", "_rank", "_sizes", "_spec")

    def __init__(self, spec: TensorSpec) -> None:
        import numpy as np

        self._spec = spec
        self._dtype = np.dtype(object if spec.dtype == "string" else spec.dtype)
        self._rank = None if spec.shape == UNKNOWN_SHAPE else len(spec.shape)
        self._sizes = tuple((axis, size) for axis, size in enumerate(spec.shape) if size is not None)

    def __call__(self, value: Array) -> None:
        """Raises ValueError when the array is not of the described dtype and shape."""
        if value.dtype != self._dtype:
            raise ValueError(f"input {self._spec.name!r} is {value.dtype.name}, the model takes {self._spec.dtype}")
        if self._rank is None:
            return
        shape = value.shape
        if len(shape) != self._rank or any([shape[axis] != size for axis, size in self._sizes]):  # noqa: C419 - a list is faster here
            sizes = ", ".join("any" if size is None else str(size) for size in self._spec.shape)
            raise ValueError(f"input {self._spec.name!r} has the shape {list(shape)}, the model takes [{sizes}]")


def in_order(names: Sequence[str], inputs: Tensors) -> list[Array]:
    """The inputs in the order of `names`. Raises ValueError when one is missing or too many."""
    if len(inputs) == len(names):
        try:
            return [inputs[name] for name in names]
        except KeyError:
            pass
    raise ValueError(f"the inputs are {sorted(inputs)}, the signature takes {sorted(names)}")
