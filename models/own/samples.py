"""The samples of a model of the user's own: his, or seeded random ones in a domain that most models can take; never zeros."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serveoff import own_kinds
from serveoff.errors import InputError

from . import python_file

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec
    from serveoff.own_models import OwnModel
    from serveoff.plugins import Array, Tensors


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids that an input takes: how many there are, and the one that stands where a row has no more words."""

    count: int
    pad: int = 0


LABELS = "labels"
ENOUGH = 64
"""As many different payloads as a load has."""
MOST = 256
_MASK, _SEGMENT = "mask", "token_type"
_MOST_RANDOM_BYTES = 256 * 2**20
_SEED = 20_240
_UNKNOWN_IDS = Ids(100)
_NUMBERS = "random numbers"


def given(source: OwnModel) -> tuple[dict[str, Array] | None, Array | None]:
    """The user's samples (at most MOST rows) and their labels, None where there are none. Raises InputError for a damaged file."""
    if source.samples:
        arrays = _read(Path(source.samples), allow_pickle=source.allow_pickle)
    elif source.kind == own_kinds.PYTHON and python_file.has(Path(source.path), python_file.SAMPLES):
        arrays = _called(Path(source.path))
    else:
        return None, None
    arrays = {name: _as_text(value)[:MOST] for name, value in arrays.items()}
    known = {t.name for t in source.inputs}
    labels = arrays.pop(LABELS) if LABELS in arrays and LABELS not in known and len(arrays) > 1 else None
    return arrays, labels


def fit(known: Sequence[TensorSpec], samples: Tensors) -> dict[str, Array]:
    """The samples in the inputs' order. Raises InputError when one is missing, or is not what the model takes."""
    if len(known) == len(samples) == 1:  # then its name says nothing
        samples = {known[0].name: next(iter(samples.values()))}
    for name in samples:
        if name not in {t.name for t in known}:
            raise InputError(f"the samples have {name!r}, which is no input", hint=f"the inputs are: {', '.join(t.name for t in known)}")
    fitted = {}
    for tensor in known:
        value = samples.get(tensor.name)
        if value is None:
            raise InputError(f"the samples have nothing for the input {tensor.name!r}", hint=f"they have: {', '.join(samples)}")
        dtype = "string" if value.dtype == object else value.dtype.name
        if dtype != tensor.dtype:
            raise InputError(
                f"the samples for {tensor.name} are {dtype}, the model takes {tensor.dtype}", hint=f".astype({tensor.dtype!r})"
            )
        if value.ndim != len(tensor.shape) or any(
            size not in (None, has) for size, has in zip(tensor.shape[1:], value.shape[1:], strict=True)
        ):
            wanted = ", ".join("rows" if i == 0 else str(size) for i, size in enumerate(tensor.shape))
            raise InputError(f"the samples for {tensor.name} have the shape {list(value.shape)}, the model takes [{wanted}]")
        fitted[tensor.name] = value
    if len({len(value) for value in fitted.values()}) != 1 or not len(next(iter(fitted.values()))):
        raise InputError(f"the samples must have equally many rows: { {name: len(value) for name, value in fitted.items()} }")
    return fitted


def random(known: Sequence[TensorSpec], domain: Mapping[str, Ids]) -> tuple[dict[str, Array], str]:
    """ENOUGH seeded rows (fewer where they would be very large), and what they are in words.

    `domain` has the ids of an input, where they are known.
    """
    generator = np.random.default_rng(_SEED)
    row_bytes = sum(
        np.dtype(object if t.dtype == "string" else t.dtype).itemsize * math.prod(size or 1 for size in t.shape[1:]) for t in known
    )
    rows = max(8, min(ENOUGH, _MOST_RANDOM_BYTES // max(1, row_bytes)))
    found = {t.name: _random(generator, t, (rows, *t.shape[1:]), domain.get(t.name, _UNKNOWN_IDS)) for t in known}
    drawn = {name: value for name, (value, _) in found.items()}
    *others, last = dict.fromkeys(words for _, words in found.values())
    padded = {name: _padded(name, value, drawn, domain) for name, value in drawn.items()}
    return padded, f"{', '.join(others)} and {last}" if others else last


def _padded(name: str, value: Array, drawn: Tensors, domain: Mapping[str, Ids]) -> Array:
    """Ids end where the mask of the same shape does."""
    mask = next((m for other, m in drawn.items() if _MASK in other.lower() and m.shape == value.shape), None)
    if mask is None or "ids" not in name.lower() or not np.issubdtype(value.dtype, np.integer):
        return value
    return np.where(mask != 0, value, domain.get(name, _UNKNOWN_IDS).pad).astype(value.dtype)


def _random(generator: np.random.Generator, tensor: TensorSpec, shape: tuple[Any, ...], ids: Ids) -> tuple[Array, str]:
    """One input's samples, and what they are in words."""
    if tensor.dtype == "string":
        texts: Array = np.array([f"sample {number}" for number in range(math.prod(shape))], object).reshape(shape)
        return texts, "numbered texts"
    if tensor.dtype == "bool":
        return generator.random(shape) < 0.5, "random truth values"
    if _MASK in tensor.name.lower():  # the last part of a row is padding
        length = shape[-1] if len(shape) > 1 else 1
        ends = generator.integers(max(1, length // 2), length + 1, size=(*shape[:-1], 1))
        return (np.arange(length) < ends).astype(tensor.dtype).reshape(shape), "masks of random length"
    if tensor.dtype in ("uint8", "int8"):
        info = np.iinfo(tensor.dtype)
        return generator.integers(info.min, info.max, size=shape, dtype=tensor.dtype, endpoint=True), _NUMBERS
    if np.issubdtype(np.dtype(tensor.dtype), np.integer):
        if _SEGMENT in tensor.name.lower():  # a first text, and a second one
            second = np.arange(shape[-1]) >= generator.integers(1, shape[-1] + 1, size=(*shape[:-1], 1))
            return second.astype(tensor.dtype), "segments of random length"
        others = generator.integers(0, max(1, ids.count - 1), size=shape)
        return (others + (others >= ids.pad)).astype(tensor.dtype), f"random ids below {ids.count:,}"
    return generator.standard_normal(shape).astype(tensor.dtype), _NUMBERS


def _read(path: Path, *, allow_pickle: bool) -> dict[str, Array]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=allow_pickle) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path} holds Python objects, and loading them runs whatever code is in them",
                hint="save plain arrays (texts: dtype 'S' or 'U'); or, if you trust the file, say --allow-pickle",
            ) from None
        raise InputError(
            f"{path} is not an .npz file of arrays: {error}", hint="numpy.savez(path, input_name=array, ...) writes one"
        ) from error


def _called(path: Path) -> dict[str, Array]:
    found = python_file.call(path, python_file.SAMPLES)
    arrays = dict(found) if isinstance(found, Mapping) else {"input": found}
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise InputError(f"samples() of {path} has a {type(value).__name__} for {name!r}, not a numpy array")
    return arrays


def _as_text(value: Array) -> Array:
    """Texts as bytes in an object array, as the runtimes take them."""
    if value.dtype.kind not in "SUO":
        return value
    texts: Array = np.array([t.encode() if isinstance(t, str) else t for t in value.astype(object).flat], object).reshape(value.shape)
    return texts
