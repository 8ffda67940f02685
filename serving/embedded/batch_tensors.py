"""Puts the inputs of several calls together and takes the outputs apart again (batching_session.cc)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .status import failed_precondition, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors


def row_count(inputs: Tensors) -> int:
    """The batch size of one call's inputs. Raises ServingError (INVALID_ARGUMENT)."""
    sizes = set()
    for array in inputs.values():
        if array.ndim == 0:
            raise invalid("Batching Run() input tensors must have at least one dimension.")
        sizes.add(len(array))
    if len(sizes) != 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return int(sizes.pop())


def join(parts: Sequence[Tensors], *, pad: bool, rows: int = 0) -> dict[str, Array]:
    """The parts one below the other, filled up to `rows` with the last part's first row. Raises ServingError (FAILED_PRECONDITION)."""
    if len(parts) == 1 and (not rows or row_count(parts[0]) == rows):
        return dict(parts[0])
    return {name: _join_one(name, [part[name] for part in parts], pad=pad, rows=rows) for name in parts[0]}


def _join_one(name: str, arrays: list[Array], *, pad: bool, rows: int) -> Array:
    if len({array.shape[1:] for array in arrays}) > 1:
        if not pad or len({array.ndim for array in arrays}) > 1:
            raise failed_precondition(
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off."
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name"
                "have equal dimensions starting with the first dim."
            )
        largest = [max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)]
        arrays = [_padded(array, largest) for array in arrays]
    missing = rows - sum(map(len, arrays))
    if missing > 0 and len(arrays[-1]):
        arrays = [*arrays, np.repeat(arrays[-1][:1], missing, axis=0)]
    return np.concatenate(arrays)


def _padded(array: Array, sizes: list[int]) -> Array:
    """Every dimension but the first grown to `sizes`, with the array's own first value."""
    result = np.empty((len(array), *sizes), array.dtype)
    result[...] = array.flat[0] if array.size else np.zeros((), array.dtype)
    result[(slice(None), *map(slice, array.shape[1:]))] = array
    return result


def split(outputs: Tensors, rows: Sequence[int], total: int) -> list[dict[str, Any]]:
    """The outputs of each call. Raises ServingError (FAILED_PRECONDITION) for an output that lost the batch dimension."""
    for array in outputs.values():
        if array.ndim == 0:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if len(array) != total:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors"
            )
    answers, start = [], 0
    for count in rows:
        answers.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return answers
