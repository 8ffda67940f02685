"""Quotes a JSON value inside an error text: RapidJSON's pretty writer, cut soon after 256 bytes as TF Serving does since 2.18."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .json_text import decimal_text

LIMIT_BYTES = 256

_ESCAPED = re.compile(r'[\x00-\x1f"\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if value is True:
        return "True"
    if value is False:
        return "False"
    if isinstance(value, dict):
        return "Object"
    if isinstance(value, list):
        return "Array"
    return "String" if isinstance(value, str) else "Number"


def string_text(text: str) -> str:
    """A JSON string: control characters escaped, everything else as it is (no \\u for other characters, no escaped slash)."""
    return '"' + _ESCAPED.sub(lambda m: _SHORT.get(m[0]) or f"\\u{ord(m[0]):04X}", text) + '"'


def nested_double_text(value: float) -> str:
    """A double inside a list or an object (RapidJSON's dtoa: shortest digits, plain notation for exponents -7 < e < 21)."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0.0"
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits)) + ".0"
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    tail = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1}"


def quote(value: Any) -> str:
    """`value` pretty-printed with four spaces. A NaN or an infinity inside a list ends the text, as it ends RapidJSON's writer."""
    if isinstance(value, float):
        narrow = abs(value) <= 3.4028234663852886e38
        return decimal_text(value, single=narrow)
    parts: list[str] = []
    size = 0
    for piece in _pieces(value):
        parts.append(piece)
        size += len(piece)
        if size > LIMIT_BYTES:
            break
    return "".join(parts)


def members(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The members in the order of the text, duplicates included when the strict reader kept them."""
    pairs: Iterable[tuple[str, Any]] = getattr(value, "pairs", value.items())
    return pairs


def _scalar_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return string_text(value)
    return nested_double_text(value) if isinstance(value, float) else str(value)


def _pieces(value: Any) -> Iterator[str]:
    """Tokens with the white space before them; an explicit stack, because documents may be nested without limit."""
    if not isinstance(value, (list, dict)):
        yield _scalar_text(value)
        return
    stack: list[tuple[Iterator[Any], str, int]] = [_opened(value)]
    yield stack[-1][1]
    while stack:
        iterator, opener, count = stack[-1]
        item: Any = next(iterator, stack)
        if item is stack:
            stack.pop()
            yield ("\n" + "    " * len(stack) if count else "") + ("]" if opener == "[" else "}")
            continue
        stack[-1] = (iterator, opener, count + 1)
        prefix = (",\n" if count else "\n") + "    " * len(stack)
        if opener == "{":
            prefix += string_text(item[0]) + ": "
            item = item[1]
        if isinstance(item, (list, dict)):
            stack.append(_opened(item))
            yield prefix + stack[-1][1]
        elif isinstance(item, float) and not math.isfinite(item):
            yield prefix
            return
        else:
            yield prefix + _scalar_text(item)


def _opened(value: Any) -> tuple[Iterator[Any], str, int]:
    return (iter(members(value)), "{", 0) if isinstance(value, dict) else (iter(value), "[", 0)
