"""Parsed JSON values -> numpy, value by value, with TF Serving's rules, order of checks and texts (json_tensor.cc).

This is the exact path. `json_request` tries whole-array conversion first and comes here for strings, for what does not fit, and for
the text of every error.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .json_quote import quote, type_name
from .status import Code, ServingError, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array

_INTEGERS = {
    "int8": (-(1 << 31), 1 << 31),
    "int16": (-(1 << 31), 1 << 31),
    "int32": (-(1 << 31), 1 << 31),
    "uint8": (-(1 << 31), 1 << 31),
    "int64": (-(1 << 63), 1 << 63),
    "uint32": (0, 1 << 32),
    "uint64": (0, 1 << 64),
}
"""dtype -> the numbers it takes, as [low, high). Types below 32 bits take any int32 and wrap."""

TENSORFLOW_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
"""Our dtype names that TensorFlow prints differently."""

_EXACT: dict[str, type[np.generic]] = {"float32": np.float64, "float64": np.float64, "uint64": np.uint64, "bool": np.bool_}
"""dtype -> the type that holds every checked leaf exactly (int64 otherwise); narrowing from it is RapidJSON's GetFloat or a wrap."""

MAX_RANK = 64
"""numpy's limit; TensorFlow's is 254."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]*")
_ASCII_SPACE = str.maketrans("", "", " \t\n\r\v\f")


def tensorflow_name(dtype: str) -> str:
    return TENSORFLOW_NAMES.get(dtype, dtype)


def is_base64(value: Any) -> bool:
    """An object with exactly one key, `b64`, that holds text."""
    return isinstance(value, dict) and len(getattr(value, "pairs", value)) == 1 and isinstance(value.get("b64"), str)


def decode_base64(text: str) -> bytes:
    """Standard alphabet, white space ignored, padding (= or .) complete or absent, spare bits ignored: absl::Base64Unescape."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    bare = text.translate(_ASCII_SPACE)
    body = bare.rstrip("=.")
    padding = len(bare) - len(body)
    if not _BASE64.fullmatch(body) or len(body) % 4 == 1 or (padding and padding != -len(body) % 4):
        raise invalid("Unable to base64 decode")
    return base64.b64decode(body + "=" * (-len(body) % 4))


def value_of(value: Any, dtype: str) -> Any:
    """One leaf as a Python number, bool or bytes that numpy stores without asking. Raises ServingError."""
    fits: bool
    if isinstance(value, dict):
        if dtype != "string":
            raise _type_error(value, dtype)
        if not is_base64(value):
            raise invalid(f"JSON Value: {quote(value)} not formatted correctly for base64 data")
        return decode_base64(value["b64"])
    if dtype in ("float32", "float64"):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif dtype in _INTEGERS:
        low, high = _INTEGERS[dtype]
        fits = type(value) is int and low <= value < high
    elif dtype == "bool":
        fits = isinstance(value, bool)
    elif dtype == "string":
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        fits = False
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {quote(value)} to type: {tensorflow_name(dtype)}")
    if not fits:
        raise _type_error(value, dtype)
    return value


def _type_error(value: Any, dtype: str) -> ServingError:
    return invalid(f"JSON Value: {quote(value)} Type: {type_name(value)} is not of expected type: {tensorflow_name(dtype)}")


def shape_of(value: Any) -> list[int]:
    """The shape that the first element of each level promises."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def leaves(value: Any, dtype: str, shape: list[int]) -> list[Any]:
    """The flat values of `value`, which must have `shape` at every level. Raises ServingError at the first misfit."""
    rank = len(shape)
    flat: list[Any] = []
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        level = len(stack) - 1
        for item in stack[-1]:
            if not isinstance(item, list):
                if level != rank:
                    raise invalid(
                        f"JSON Value: {quote(item)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}"
                    )
                flat.append(value_of(item, dtype))
                continue
            if level >= rank:
                raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
            if len(item) != shape[level]:
                raise invalid(f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {shape[level]}")
            stack.append(iter(item))
            break
        else:
            stack.pop()
    return flat


def to_array(flat: list[Any], dtype: str, shape: list[int]) -> Array:
    """Checked leaves as an array; values beyond the shape are dropped, as TensorFlow drops them."""
    count = math.prod(shape)
    if len(shape) > MAX_RANK:
        raise invalid(f"a tensor of rank {len(shape)} is not supported, the limit is {MAX_RANK}")
    flat = flat[:count]
    if dtype == "string":
        texts = np.empty(count, object)
        texts[:] = flat
        return texts.reshape(shape)
    with np.errstate(over="ignore"):
        return np.array(flat, _EXACT.get(dtype, np.int64)).astype(dtype, copy=False).reshape(shape)
