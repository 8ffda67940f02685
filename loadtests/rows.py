"""TF Serving's row form of JSON, which TorchServe's `json` envelope speaks too: the same bytes go to every server that takes it.

`{"instances": [row, ...]}`: with one input a row is its bare value, with several it is an object by input name. The reply is
`{"predictions": [...]}` in the same form. Text is sent as JSON text, bytes that are not UTF-8 as `{"b64": ...}`.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from serveoff.contract import SIGNATURE

if TYPE_CHECKING:
    from serveoff.contract import Manifest, TensorSpec
    from serveoff.plugins import Array, Tensors


def rows_json(manifest: Manifest, inputs: Tensors) -> bytes:
    """The request's body, the shortest text that comes back exactly. `inputs` are [rows, ...], by the manifest's names.

    Raises ValueError for a missing input, a type other than the manifest's, or unequal numbers of rows.
    """
    columns = {spec.name: _column(spec, inputs) for spec in manifest.inputs}
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError(f"the inputs have unequal numbers of rows: { {name: len(column) for name, column in columns.items()} }")
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    named = {} if manifest.signature == SIGNATURE else {"signature_name": manifest.signature}
    return dumps({**named, "instances": rows}, inputs)


def rows_from_json(manifest: Manifest, reply: bytes) -> dict[str, Array]:
    """The outputs, [rows, ...], by the manifest's names. Raises ValueError, with the server's own words where the reply is an error."""
    parsed = loads(reply)
    rows = parsed.get("predictions") if isinstance(parsed, dict) else None
    if not isinstance(rows, list):
        raise ValueError(_refusal(parsed))
    if len(manifest.outputs) == 1:
        spec = manifest.outputs[0]
        bare = [row[spec.name] if isinstance(row, dict) and row.keys() == {spec.name} else row for row in rows]
        return {spec.name: _array(spec, bare)}
    names = {spec.name for spec in manifest.outputs}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not names <= row.keys():
            found = sorted(row) if isinstance(row, dict) else type(row).__name__
            raise ValueError(f"row {number} of the reply should be an object with the outputs {sorted(names)}, it is {found}")
    return {spec.name: _array(spec, [row[spec.name] for row in rows]) for spec in manifest.outputs}


def _column(spec: TensorSpec, inputs: Tensors) -> list[Any]:
    """The rows of one input as JSON values."""
    if spec.name not in inputs:
        raise ValueError(f"input {spec.name!r} is missing, there are {sorted(inputs)}")
    array = inputs[spec.name]
    if array.ndim == 0:
        raise ValueError(f"input {spec.name!r} has no rows, it is a scalar")
    rows: list[Any] = _texts(array.tolist()) if spec.dtype == "string" else _numbers(spec, array).tolist()
    return rows


def _numbers(spec: TensorSpec, array: Array) -> Array:
    if array.dtype.name != spec.dtype:
        raise ValueError(f"input {spec.name!r} is {array.dtype.name}, the model takes {spec.dtype}")
    return shortest(array) if array.dtype.kind == "f" else array


def shortest(array: Array) -> Array:
    """float64 numbers whose shortest text is the shortest that gives back `array` (float16, 32 or 64).

    Servers read a number as float64 and then narrow it. For a few float32 values (7.038531e-26 is one) the shortest float32 text comes back
    wrong that way: these keep all their digits.
    """
    import numpy as np
    import orjson

    if array.dtype.itemsize == 8:
        return array
    text = orjson.dumps(np.ascontiguousarray(array, np.float32), option=orjson.OPT_SERIALIZE_NUMPY)
    short = np.array(orjson.loads(text), np.float64).reshape(array.shape)  # NaN and infinity are null in this text, and NaN in this array
    return np.where(short.astype(np.float32) == array, short, array.astype(np.float64))


def dumps(value: Any, inputs: Tensors) -> bytes:
    """JSON; NaN and infinity among the inputs, from which `value` was made, as bare words."""
    import numpy as np
    import orjson

    if all(np.isfinite(array).all() for array in inputs.values() if array.dtype.kind == "f"):
        return orjson.dumps(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()  # NaN and Infinity as bare words, as the servers read them


def loads(reply: bytes) -> Any:
    """Both servers write NaN and Infinity as bare words, which the fast parser refuses."""
    import orjson

    try:
        return orjson.loads(reply)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        raise ValueError(f"the reply is not JSON: {reply[:200].decode(errors='replace')!r}") from None


def _refusal(parsed: Any) -> str:
    """The words of an error reply: TF Serving's `error`, TorchServe's `message`."""
    if isinstance(parsed, dict):
        for key in ("error", "message"):
            if isinstance(parsed.get(key), str):
                return str(parsed[key])
        return f"the reply has no 'predictions', only {sorted(map(str, parsed))}"
    return f"the reply is no object with 'predictions', it is {str(parsed)[:200]}"


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


def _array(spec: TensorSpec, rows: list[Any]) -> Array:
    import numpy as np

    try:
        if spec.dtype == "string":
            return _bytes_array(rows)
        # With the dtype named at once, numpy would take null and text for numbers, and cut fractions off.
        whole = spec.dtype.lstrip("u").startswith("int")
        found = np.array(rows, object if whole else None)
        fits = all(type(value) is int for value in found.flat) if whole else found.dtype.kind in ("b" if spec.dtype == "bool" else "fiu")
        if found.size and not fits:
            raise ValueError(f"it is {str(rows)[:100]}")
        return found.astype(spec.dtype)
    except (TypeError, ValueError, OverflowError, KeyError, binascii.Error) as error:
        raise ValueError(f"output {spec.name!r} is no {spec.dtype} tensor: {error}") from error


def _bytes_array(rows: list[Any]) -> Array:
    import numpy as np

    nested = _from_texts(rows)
    shape, level = [], nested
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    array = np.empty(shape, object)
    array[...] = nested
    return array


def _from_texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_texts(item) for item in value]
    if isinstance(value, str):
        return value.encode()
    return base64.b64decode(value["b64"], validate=True)
