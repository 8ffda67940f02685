"""Arrays -> the body of a REST reply, laid out as RapidJSON's pretty writer does (json_tensor.cc, MakeJsonFromTensors)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .json_tensors import tensorflow_name
from .json_text import base64_text, decimal_text, string_bytes, writer_of
from .status import invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

_INDENT = "    "


def error_body(message: str) -> bytes:
    """Bytes of the request that are not UTF-8 become U+FFFD: TF Serving writes them raw, and its reply is then no JSON."""
    text = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return b'{\n    "error": ' + string_bytes(text.encode()) + b"\n}"


def predict_body(outputs: Tensors, *, row: bool) -> bytes:
    """The reply to a predict call. Raises ServingError when the outputs do not fit the row form or JSON."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    text = _row_text(outputs) if row else _columnar_text(outputs)
    return text.encode("latin-1")


def _key(name: str) -> str:
    """A key and its colon, in the tokens' latin-1."""
    return string_bytes(name.encode()).decode("latin-1") + ": "


def _tokens(name: str, array: Array, depth: int) -> list[str]:
    """The array's values as JSON tokens; `depth` is the number of open levels around a value."""
    flat = array.reshape(-1)
    if name.endswith("_bytes") and array.dtype.kind in "OSU":
        inner, outer = "\n" + _INDENT * (depth + 1), "\n" + _INDENT * depth
        return [f'{{{inner}"b64": "{base64_text(v)}"{outer}}}' for v in flat.tolist()]
    writer = writer_of(array.dtype)
    if writer is None:
        raise invalid(f"Failed to write JSON value for tensor type: {tensorflow_name(array.dtype.name)}")
    return writer(flat)


def _batch_size(outputs: Tensors) -> int:
    batch = 0
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        size = len(array)
        if size < 1:
            raise invalid(f"Tensor name: {name} has invalid batch size: {size}")
        if batch not in (0, size):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {size} expecting: {batch}")
        batch = size
    return batch


def _row_text(outputs: Tensors) -> str:
    batch = _batch_size(outputs)
    several = len(outputs) > 1
    columns = {}
    for name, array in sorted(outputs.items()):
        depth = array.ndim + (2 if several else 1)
        columns[name] = _folded(_tokens(name, array, depth), array.shape[1:], batch)
    if not several:
        (items,) = columns.values()
        return '{\n    "predictions": [' + ", ".join(items) + "\n    ]\n}"
    keys = [_key(name) for name in columns]
    rows = []
    for values in zip(*columns.values(), strict=True):
        cells = (",\n" + _INDENT * 3).join(k + v for k, v in zip(keys, values, strict=True))
        rows.append(f"{_INDENT * 2}{{\n{_INDENT * 3}{cells}\n{_INDENT * 2}}}")
    return '{\n    "predictions": [\n' + ",\n".join(rows) + "\n    ]\n}"


def _folded(tokens: list[str], shape: tuple[int, ...], batch: int) -> list[str]:
    """`batch` texts, each the tokens of one item in lists of `shape`, on one line."""
    for position in range(len(shape) - 1, -1, -1):
        size = shape[position]
        if size == 0:
            count = batch
            for outer in shape[:position]:
                count *= outer
            tokens = ["[]"] * count
        else:
            tokens = ["[" + ", ".join(tokens[i : i + size]) + "]" for i in range(0, len(tokens), size)]
    return tokens


def _columnar_text(outputs: Tensors) -> str:
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return '{\n    "outputs": ' + _spread(name, array, 1) + "\n}"
    cells = [_INDENT * 2 + _key(name) + _spread(name, array, 2) for name, array in sorted(outputs.items())]
    return '{\n    "outputs": {\n' + ",\n".join(cells) + "\n    }\n}"


def _spread(name: str, array: Array, depth: int) -> str:
    """The array with every value on its own line; `depth` levels are open around it."""
    tokens = _tokens(name, array, depth + array.ndim)
    if 0 in array.shape:
        tokens = []
    for position in range(array.ndim - 1, -1, -1):
        size = array.shape[position]
        if size == 0:
            count = 1
            for outer in array.shape[:position]:
                count *= outer
            tokens = ["[]"] * count
            continue
        inner, outer_space = "\n" + _INDENT * (depth + position + 1), "\n" + _INDENT * (depth + position)
        separator = "," + inner
        tokens = ["[" + inner + separator.join(tokens[i : i + size]) + outer_space + "]" for i in range(0, len(tokens), size)]
    return tokens[0]


def classification_body(results: list[list[tuple[bytes, float]]]) -> bytes:
    """One list of [label, score] per example. Raises ServingError when there is no example."""
    if not results:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = [
        "[" + ", ".join(f"[{string_bytes(label).decode('latin-1')}, {decimal_text(score, single=True)}]" for label, score in classes) + "]"
        for classes in results
    ]
    return ('{\n    "results": [' + ", ".join(rows) + "\n    ]\n}").encode("latin-1")


def regression_body(values: list[float]) -> bytes:
    if not values:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return ('{\n    "results": [' + ", ".join(decimal_text(v, single=True) for v in values) + "]\n}").encode("latin-1")
