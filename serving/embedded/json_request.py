"""The body of a REST predict call -> arrays (json_tensor.cc, FillPredictRequestFromJson).

Numbers go through orjson and one numpy conversion; whatever that does not take without doubt (strings, NaN tokens, wrong types, ragged
lists, duplicate keys) is read again by the exact path, which also finds the texts of errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from . import json_strict
from .json_quote import members, quote
from .json_tensors import is_base64, leaves, shape_of, to_array
from .status import ServingError, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array

_TOP_KEYS = (b'"instances"', b'"inputs"', b'"signature_name"')


LONG_BYTES = 1 << 16

_ESCAPED_KEY = re.compile(rb'\\u[^"]*"[ \t\r\n]*:')


class NeedsTime(Exception):  # noqa: N818 (nothing is wrong)
    """The body has to be read value by value, and is long."""


class PredictBody:
    """A parsed body. `signature_name` is empty when the body names none; `row` is known after `inputs` was called.

    Unless `patient`, NeedsTime is raised instead of reading a long body value by value: that belongs into a thread.
    """

    __slots__ = ("_body", "_doc", "_fast", "_patient", "row", "signature_name")

    def __init__(self, body: bytes, *, patient: bool = False) -> None:
        """Raises ServingError for what is not JSON, not an object, or has a signature_name that is not text."""
        self._body = body
        self._patient = patient or len(body) < LONG_BYTES
        self._doc, self._fast = parse(body, patient=self._patient)
        self.row = False
        self.signature_name = signature_name(self._doc)

    def inputs(self, dtypes: dict[str, str]) -> dict[str, Array]:
        """One array per input of `dtypes` (sorted by name), in the row form with the batch as first dimension. Raises ServingError."""
        doc = self._doc
        if "instances" in doc:
            instances = doc["instances"]
            if "inputs" in doc:
                raise malformed(doc, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
            if not isinstance(instances, list):
                raise malformed(doc, "Excepting 'instances' to be an list/array")
            if not instances:
                raise malformed(doc, "No values in 'instances' array")
            self.row = True
            return self._fast_rows(instances, dtypes) or _rows(self._exact("instances"), dtypes)
        if "inputs" in doc:
            return self._fast_columns(doc["inputs"], dtypes) or _columns(self._exact("inputs"), dtypes)
        raise invalid("Missing 'inputs' or 'instances' key")

    def _exact(self, key: str) -> Any:
        """The value with duplicate keys and their order kept, where there may be any."""
        if not self._patient:
            raise NeedsTime
        if self._fast and self._body.count(b"{") > 1:
            self._doc, self._fast = json_strict.read_again(self._body), False
        return self._doc[key]

    def _numbers_only(self, keys: int) -> bool:
        """True when no value can be a string: all quotes are those of `keys` names, the top-level keys and the signature's name."""
        names = len(self._doc) + keys + ("signature_name" in self._doc)
        return self._body.count(b'"') == 2 * names and b"null" not in self._body

    def _fast_rows(self, instances: list[Any], dtypes: dict[str, str]) -> dict[str, Array] | None:
        if not self._fast:
            return None
        if not isinstance(instances[0], dict):
            if len(dtypes) != 1 or not self._numbers_only(0):
                return None
            ((name, dtype),) = dtypes.items()
            array = self._whole(instances, dtype)
            return None if array is None else {name: array}
        if not self._numbers_only(len(instances) * len(dtypes)):
            return None
        arrays = {}
        for name, dtype in dtypes.items():
            try:
                array = self._whole([row[name] for row in instances], dtype)
            except (KeyError, TypeError):
                return None
            if array is None:
                return None
            arrays[name] = array
        return arrays

    def _fast_columns(self, value: Any, dtypes: dict[str, str]) -> dict[str, Array] | None:
        if not self._fast:
            return None
        if not isinstance(value, dict):
            if len(dtypes) != 1 or not self._numbers_only(0):
                return None
            value = dict.fromkeys(dtypes, value)
        elif value.keys() != dtypes.keys() or not self._numbers_only(len(dtypes)):
            return None
        arrays = {}
        for name, dtype in dtypes.items():
            array = self._whole(value[name], dtype)
            if array is None:
                return None
            arrays[name] = array
        return arrays

    def _whole(self, values: Any, dtype: str) -> Array | None:
        """All values at once, or None when one of them may not be what the exact path would make of it."""
        if dtype != "bool" and (b"true" in self._body or b"false" in self._body):
            return None
        try:
            if dtype in ("float32", "float64"):
                # A number is all there can be: texts, null, true and false are ruled out, dicts and ragged lists raise.
                return np.array(values, dtype)
            array = np.array(values)
        except (ValueError, TypeError, OverflowError):
            return None
        return _narrow(array, dtype)


_INTEGER_BOUNDS = {
    "int8": (-(1 << 31), (1 << 31) - 1),
    "int16": (-(1 << 31), (1 << 31) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint8": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}


def _narrow(array: Array, dtype: str) -> Array | None:
    """An inferred int64 or bool array as `dtype`; None where the exact path must decide."""
    if dtype == "bool":
        return array if array.dtype.kind == "b" else None
    bounds = _INTEGER_BOUNDS.get(dtype)
    if bounds is None or array.dtype != np.int64:
        return None
    if dtype != "int64" and array.size and (array.min() < bounds[0] or array.max() > bounds[1]):
        return None
    return array.astype(dtype, copy=False)


def parse(body: bytes, *, patient: bool = True) -> tuple[dict[str, Any], bool]:
    """The body's object, and whether it came from the fast reader (which keeps the last of equal keys).

    Raises ServingError, or NeedsTime unless `patient`.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    instances, inputs, name = _TOP_KEYS
    fast = body.count(instances) < 2 and body.count(inputs) < 2 and body.count(name) < 2
    if fast and b"\\u" in body:
        fast = _ESCAPED_KEY.search(body) is None
    doc: Any = None
    if fast:
        try:
            doc = orjson.loads(body)
        except orjson.JSONDecodeError:
            fast = False
    if not fast:
        if not patient:
            raise NeedsTime
        doc = json_strict.read(body)
    if not isinstance(doc, dict):
        raise malformed(doc, "Is not object")
    return doc, fast


def signature_name(doc: dict[str, Any]) -> str:
    name = doc.get("signature_name", "")
    if not isinstance(name, str):
        raise malformed(doc, "not formatted correctly. 'signature_name' key must be a string value.")
    return name


def malformed(value: Any, sentence: str) -> ServingError:
    return invalid(f"JSON Value: {quote(value)} {sentence}")


def _is_row_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


class _Column:
    """One input, collected row by row; every row must have the first row's size and shape."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._flat: list[Any] = []
        self._size = -1
        self._shape: list[int] = []

    def add(self, item: Any) -> None:
        shape = shape_of(item)
        flat = leaves(item, self._dtype, shape)
        self._flat += flat
        if self._size < 0:
            self._size, self._shape = len(flat), shape
        elif self._size != len(flat):
            raise invalid(f"Expecting tensor size: {self._size} but got: {len(flat)}")
        elif self._shape != shape:
            raise invalid(f"Expecting shape {_shape_text(self._shape)} but got: {_shape_text(shape)}")

    def array(self, rows: int) -> Array:
        return to_array(self._flat, self._dtype, [rows, *self._shape])


def _shape_text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _rows(instances: list[Any], dtypes: dict[str, str]) -> dict[str, Array]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid("instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map")
    columns: dict[str, _Column] = {}
    objects = _is_row_object(instances[0])
    for index, row in enumerate(instances):
        if objects:
            if not _is_row_object(row):
                raise invalid(f"Expecting object but got list at item {index} of input list")
            _add_object(columns, row, index, dtypes)
            continue
        if _is_row_object(row):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        name = next(iter(dtypes))
        try:
            columns.setdefault(name, _Column(dtypes[name])).add(row)
        except ServingError as error:
            raise invalid(f"Failed to process element: {index} of 'instances' list. Error: {error}") from None
    return {name: column.array(len(instances)) for name, column in columns.items()}


def _add_object(columns: dict[str, _Column], row: dict[str, Any], index: int, dtypes: dict[str, str]) -> None:
    for name, value in members(row):
        try:
            if name not in dtypes:
                raise invalid(f"JSON object: does not have named input: {name}")
            columns.setdefault(name, _Column(dtypes[name])).add(value)
        except ServingError as error:
            raise invalid(f"Failed to process element: {index} key: {name} of 'instances' list. Error: {error}") from None
    if row.keys() != dtypes.keys():
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {quote(row)} keys must be equal to: {','.join(dtypes)}"
        )


def _columns(value: Any, dtypes: dict[str, str]) -> dict[str, Array]:
    if not _is_row_object(value):
        if len(dtypes) > 1:
            raise invalid("inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map")
        value = dict.fromkeys(dtypes, value)
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = shape_of(value[name])
        arrays[name] = to_array(leaves(value[name], dtype, shape), dtype, shape)
    return arrays
