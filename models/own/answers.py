"""Asks a model of the user's own, and makes sure that its answers can be a reference: the same each time, at every batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from serveoff import parity
from serveoff.contract import ParityCheck
from serveoff.errors import InputError

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

BATCHES = (1, 3, 8)

Run = Callable[["Tensors"], "dict[str, Array]"]


def ask(run: Run, samples: Tensors, fixed_batch: int | None) -> dict[str, Array]:
    """The answers to all samples. Raises InputError when they are no reference."""
    rows = len(next(iter(samples.values())))
    answers = _chunked(run, samples, fixed_batch) if fixed_batch else run(samples)
    for name, value in answers.items():
        if value.ndim == 0 or len(value) != rows:
            raise InputError(f"output {name} has the shape {list(value.shape)} for {rows} rows: its first dimension must be the batch")
        if np.issubdtype(value.dtype, np.floating) and (bad := int(np.isnan(value.reshape(rows, -1)).any(axis=1).sum())):
            raise InputError(f"output {name} is NaN for {bad} of {rows} samples", hint="look at the weights, or at the samples")
    first = fixed_batch or rows
    again = parity.compare("again", _slice(answers, first), run(_slice(samples, first)), parity.TWINS)
    _require(again, "the answers change from one call to the next", "is there dropout, or other chance, in the model?")
    for size in () if fixed_batch else (b for b in BATCHES if b < rows):
        checks = parity.compare(f"batch {size}", _slice(answers, size), run(_slice(samples, size)), parity.TWINS)
        hint = "rows must not know of each other: no statistics over the batch, no dynamic quantisation of the whole batch"
        _require(checks, f"the outputs change with the batch size (rows in a batch of {size}, and of {rows})", hint)
    return answers


def require_finite(weights: Mapping[str, Array], what: str) -> None:
    """Raises InputError for a weight that is NaN or infinite."""
    for name, value in weights.items():
        if np.issubdtype(value.dtype, np.floating) and (bad := int((~np.isfinite(value)).sum())):
            raise InputError(f"{bad} of {value.size} values of the weight {name} of {what} are NaN or infinite", hint="train it again")


def _chunked(run: Run, samples: Tensors, size: int) -> dict[str, Array]:
    rows = len(next(iter(samples.values())))
    parts = [run({name: value[start : start + size] for name, value in samples.items()}) for start in range(0, rows, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _slice(tensors: Tensors, stop: int) -> dict[str, Array]:
    return {name: value[:stop] for name, value in tensors.items()}


def _require(checks: tuple[ParityCheck, ...], what: str, hint: str) -> None:
    failed = next((check for check in checks if not check.passed), None)
    if failed is not None:
        raise InputError(f"{what}: output {failed.output}: {failed.reason}", hint)
