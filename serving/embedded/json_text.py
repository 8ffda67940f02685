"""Numbers and strings as TF Serving writes them into JSON (json_tensor.cc, WriteDecimal and RapidJSON's string writer)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from struct import Struct
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

_SINGLE = Struct("f")
_ESCAPED = re.compile(rb'[\x00-\x1f"\\]')
_SHORT = {b'"': b'\\"', b"\\": b"\\\\", b"\b": b"\\b", b"\f": b"\\f", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}


def decimal_text(value: float, *, single: bool) -> str:
    """The shorter of %g and %.9g (single precision) or %.17g (double) that reads back exactly; whole numbers get '.0'."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    text = f"{value:g}"
    if single:
        (kept,) = _SINGLE.unpack(_SINGLE.pack(value))
        try:
            (back,) = _SINGLE.unpack(_SINGLE.pack(float(text)))
        except OverflowError:
            back = math.inf
        if back != kept:
            text = f"{kept:.9g}"
    elif float(text) != value:
        text = f"{value:.17g}"
    return text if "." in text or "e" in text else text + ".0"


def _decimals(values: npt.NDArray[Any]) -> list[str]:
    """`decimal_text` of every value.

    A number of six digits that is stored in single (double) precision shows, in nine (seventeen) digits, a tail within 60 units of 000: the
    error of storing it is at most 2**-24 (2**-53) of its size. So a text whose last three digits are further away needs no second look.
    """
    items: list[float] = values.tolist()
    single = values.dtype == np.float32
    texts = (("%#.9g " if single else "%#.17g ") * len(items) % tuple(items)).split()
    return [
        text.rstrip("0")
        if "061" <= (tail := text[-3:]) <= "939" and tail.isdigit() and "e" not in text
        else decimal_text(value, single=single)
        for text, value in zip(texts, items, strict=True)
    ]


def string_bytes(data: bytes) -> bytes:
    """A JSON string of raw bytes: RapidJSON escapes control characters, the quote and the backslash, and checks nothing."""
    if _ESCAPED.search(data) is None:
        return b'"' + data + b'"'
    return b'"' + _ESCAPED.sub(lambda m: _SHORT.get(m[0]) or b"\\u%04X" % m[0][0], data) + b'"'


def as_bytes(value: object) -> bytes:
    """An element of a string tensor as bytes; runtimes may hand out `str`."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _strings(values: npt.NDArray[Any]) -> list[str]:
    return [string_bytes(as_bytes(v)).decode("latin-1") for v in values.tolist()]


def base64_text(value: object) -> str:
    return base64.b64encode(as_bytes(value)).decode()


def _integers(values: npt.NDArray[Any]) -> list[str]:
    return orjson.dumps(values.tolist()).decode()[1:-1].split(",") if len(values) else []


def _booleans(values: npt.NDArray[Any]) -> list[str]:
    return ["true" if v else "false" for v in values.tolist()]


def writer_of(dtype: np.dtype[Any]) -> Callable[[npt.NDArray[Any]], list[str]] | None:
    """Turns a flat array of `dtype` into JSON tokens; None for a type that JSON replies cannot hold (half, bfloat16, complex).

    Tokens are text in latin-1: one character is one byte of the reply.
    """
    if dtype in (np.float32, np.float64):
        return _decimals
    if dtype.kind in "iu":
        return _integers
    if dtype.kind == "b":
        return _booleans
    return _strings if dtype.kind in "OSU" else None
