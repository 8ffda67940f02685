"""The exact reader of request bodies: what RapidJSON's iterative parser reads with NaN/Infinity allowed and stop-when-done.

Slower than orjson, so it reads only what orjson refuses, and documents whose duplicate keys matter. It differs from the JSON standard so:
a byte order mark is skipped, text after the document is ignored, a NUL byte ends the text, NaN, Inf and Infinity are numbers, strings may
hold bytes that are not UTF-8 (kept as surrogate escapes), nesting has no limit.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

from .status import invalid

_SPACE = re.compile(rb"[ \n\r\t]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?P<dot>\.)?(?P<fraction>(?<=\.)[0-9]+)?(?:(?P<e>[eE][+-]?)(?P<exponent>[0-9]+)?)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_FLAT_LIST = re.compile(rb'\[[^\[\]{"\x00]*\]')
_ESCAPES = {ord(k): v for k, v in {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.items()}
_LITERALS: dict[int, tuple[bytes, Any]] = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}

_INVALID = "Invalid value."
_AT_END = {
    "start": "The document is empty.",
    "object": "Missing a name for object member.",
    "name": "Missing a name for object member.",
    "colon": "Missing a colon after a name of object member.",
    "member": "Missing a comma or } after an object member.",
    "element": "Missing a comma or ] after an array element.",
}
"""The state in which the text broke -> RapidJSON's sentence; in every other state a value was expected."""

_BEFORE_VALUE = ("start", "value", "array")
_NEXT = {("colon", ord(":")): "value", ("member", ord(",")): "name", ("element", ord(",")): "value"}
_CLOSERS = {"object": ord("}"), "member": ord("}"), "array": ord("]"), "element": ord("]")}


class Members(dict[str, Any]):
    """An object of the text. As a mapping the first of equal keys wins; `pairs` holds every member in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[str, Any]] = []

    def add(self, key: str, value: Any) -> None:
        self.pairs.append((key, value))
        self.setdefault(key, value)


def read(body: bytes) -> Any:
    """The first JSON document in `body`. Raises ServingError (INVALID_ARGUMENT) with RapidJSON's sentence and offset."""
    return _Reader(body).document()


def _attach(parent: Members | list[Any], key: str, value: Any) -> str:
    """Put a finished value where it belongs; the state that follows."""
    if isinstance(parent, list):
        parent.append(value)
        return "element"
    parent.add(key, value)
    return "member"


def read_again(body: bytes) -> Any:
    """The same for a body that orjson has accepted, so that it is plain JSON: the standard library reads that faster."""
    try:
        return json.loads(body, object_pairs_hook=_members, parse_int=_integer)
    except RecursionError:
        return read(body)


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = Members()
    for key, value in pairs:
        members.add(key, value)
    return members


def _integer(text: str) -> int | float:
    number = int(text) if len(text) < 22 else 1 << 80
    return number if -(1 << 63) <= number < 1 << 64 else float(text)


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._text = body
        self._at = 0
        for byte in b"\xef\xbb\xbf":
            if self._peek() == byte:
                self._at += 1

    def _peek(self) -> int:
        """The next byte; 0 at the end, so a NUL byte ends the text."""
        return self._text[self._at] if self._at < len(self._text) else 0

    def _skip_space(self) -> int:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._peek()

    def _fail(self, sentence: str, offset: int | None = None) -> NoReturn:
        raise invalid(f"JSON Parse error: {sentence} at offset: {self._at if offset is None else offset}")

    def document(self) -> Any:
        stack: list[tuple[Members | list[Any], str]] = []
        state, key = "start", ""
        while True:
            byte = self._skip_space()
            if byte == ord('"') and state in ("object", "name"):
                key, state = self._string(), "colon"
            elif byte in b":," and (state, byte) in _NEXT:
                self._at, state = self._at + 1, _NEXT[state, byte]
            else:
                value: Any
                if byte and byte == _CLOSERS.get(state):
                    self._at += 1
                    value, key = stack.pop()
                elif byte == 0 or byte in b",:]}" or state not in _BEFORE_VALUE:
                    self._fail(_AT_END.get(state, _INVALID))
                else:
                    value, opened = self._value(byte)
                    if opened:
                        stack.append((value, key))
                        state = "object" if byte == ord("{") else "array"
                        continue
                if not stack:
                    return value
                state = _attach(stack[-1][0], key, value)

    def _value(self, byte: int) -> tuple[Any, bool]:
        """A value, and whether it was only opened (its content follows)."""
        if byte == ord("{"):
            self._at += 1
            return Members(), True
        if byte == ord("["):
            flat = _FLAT_LIST.match(self._text, self._at)
            if flat is not None:
                try:
                    values = orjson.loads(flat[0])
                except orjson.JSONDecodeError:
                    pass
                else:
                    self._at = flat.end()
                    return values, False
            self._at += 1
            return [], True
        if byte == ord('"'):
            return self._string(), False
        if byte in _LITERALS:
            word, value = _LITERALS[byte]
            self._word(word)
            return value, False
        return self._number(), False

    def _word(self, word: bytes) -> None:
        for byte in word:
            if self._peek() != byte:
                self._fail(_INVALID)
            self._at += 1

    def _number(self) -> int | float:
        start = self._at
        match = _NUMBER.match(self._text, start)
        if match is None:
            return self._not_finite()
        self._at = match.end()
        if match["dot"] and match["fraction"] is None:
            self._fail("Miss fraction part in number.", match.end("dot"))
        if match["e"] and match["exponent"] is None:
            self._fail("Miss exponent in number.")
        if not match["dot"] and not match["e"]:
            number = int(match[0]) if match.end() - start < 22 else 1 << 80
            if -(1 << 63) <= number < 1 << 64:
                return number
        value = float(match[0])
        if math.isinf(value) or (match["exponent"] and b"-" not in match["e"] and self._beyond(match)):
            self._fail("Number too big to be stored in double.", start)
        return value

    @staticmethod
    def _beyond(match: re.Match[bytes]) -> bool:
        """RapidJSON limits the exponent by itself, so that 0e400 is too big as well."""
        digits = match["exponent"].lstrip(b"0")
        return len(digits) > 9 or int(digits or b"0") > 308 + len(match["fraction"] or b"")

    def _not_finite(self) -> float:
        minus = self._peek() == ord("-")
        self._at += minus
        if self._peek() == ord("N"):
            self._word(b"NaN")
            return math.nan
        if self._peek() != ord("I"):
            self._fail(_INVALID)
        self._word(b"Inf")
        if self._peek() == ord("i"):
            self._word(b"inity")
        return -math.inf if minus else math.inf

    def _string(self) -> str:
        self._at += 1
        parts: list[str] = []
        while True:
            match = _PLAIN.match(self._text, self._at)
            assert match is not None
            parts.append(match[0].decode("utf-8", "surrogateescape"))
            self._at = match.end()
            byte = self._peek()
            if byte == ord('"'):
                self._at += 1
                return "".join(parts)
            if byte == ord("\\"):
                parts.append(self._escape())
            else:
                self._fail("Missing a closing quotation mark in string." if byte == 0 else "Invalid encoding in string.")

    def _escape(self) -> str:
        start = self._at
        self._at += 1
        byte = self._peek()
        self._at += 1
        if byte in _ESCAPES:
            return _ESCAPES[byte]
        if byte != ord("u"):
            self._fail("Invalid escape character in string.", start)
        code = self._hex(start)
        if 0xD800 <= code <= 0xDFFF:
            if code > 0xDBFF or self._text[self._at : self._at + 2] != b"\\u":
                self._fail("The surrogate pair in string is invalid.", start)
            self._at += 2
            low = self._hex(start)
            if not 0xDC00 <= low <= 0xDFFF:
                self._fail("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return chr(code)

    def _hex(self, start: int) -> int:
        match = _HEX.match(self._text, self._at)
        if match is None:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self._at = match.end()
        return int(match[0], 16)
