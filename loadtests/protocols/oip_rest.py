"""The Open Inference Protocol over REST, tensors as JSON. Triton, MLServer and OpenVINO Model Server speak it.

Not a number that JSON has: Triton writes and reads NaN and Infinity as bare words, MLServer writes null for NaN, and reads neither. Text
has to be UTF-8: the protocol has no other form of it in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass
from serveoff.wire import oip

from .. import meanings
from ..rows import dumps, loads, shortest

if TYPE_CHECKING:
    from serveoff.contract import Manifest, TensorSpec
    from serveoff.launch import Endpoint
    from serveoff.plugins import Array, Tensors


class OipRest:
    transport: Literal["http", "grpc"] = "http"
    encoding: Literal["json", "binary"] = "json"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {"Content-Type": "application/json"}

    def path(self, endpoint: Endpoint) -> str:
        return f"/v2/models/{quote(endpoint.model_name, safe='')}/infer"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        """The shortest text that comes back exactly. Raises ValueError for a missing input, another type, or bytes that are no UTF-8."""
        return dumps({"inputs": [_tensor(spec, oip.tensor_of(spec, inputs)) for spec in manifest.inputs]}, inputs)

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        return {str(tensor["name"]): _array(tensor) for tensor in outputs_of(loads(reply))}

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.open_inference(status, text)


def outputs_of(parsed: Any) -> list[dict[str, Any]]:
    """The output tensors of a parsed reply. Raises ValueError, with the server's own words where it is an error."""
    outputs = parsed.get("outputs") if isinstance(parsed, dict) else None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        raise ValueError(parsed["error"])
    if not isinstance(outputs, list) or not outputs:
        raise ValueError(f"the reply has no outputs, it is {str(parsed)[:200]}")
    for tensor in outputs:
        if not isinstance(tensor, dict) or not {"name", "datatype", "shape"} <= tensor.keys() or not isinstance(tensor["shape"], list):
            raise ValueError(f"an output has no name, datatype and shape: {str(tensor)[:200]}")
    return outputs


def _tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    """Flat data, row-major: the protocol takes nested lists, too, which are only longer."""
    flat = array.ravel()
    if spec.dtype == "string":
        data = [_text(spec, value) for value in flat.tolist()]
    else:
        data = (shortest(flat) if flat.dtype.kind == "f" else flat).tolist()
    return {"name": spec.name, "shape": list(array.shape), "datatype": oip.DATATYPES[spec.dtype], "data": data}


def _text(spec: TensorSpec, value: Any) -> str:
    try:
        return oip.as_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"input {spec.name!r} holds bytes that are no UTF-8, which JSON cannot carry: {error}") from error


def _array(tensor: Mapping[str, Any]) -> Array:
    import numpy as np

    name, datatype, shape = tensor["name"], tensor["datatype"], tensor["shape"]
    flat = _flat(tensor.get("data"))
    if len(flat) != oip.checked_count(datatype, shape):
        raise ValueError(f"output {name!r} has {len(flat)} values, not those of the shape {shape}")
    dtype = oip.DTYPES[datatype]
    if dtype == "string":
        array = np.empty(len(flat), object)
        array[:] = [oip.as_bytes(value) for value in flat]
        return array.reshape(shape)
    allowed = {"b": (bool,), "f": (int, float, type(None))}.get(np.dtype(dtype).kind, (int,))
    for value in flat:
        if type(value) not in allowed:
            raise ValueError(f"output {name!r} is no {datatype} tensor: it holds {value!r}")
    try:
        return np.array(flat, dtype).reshape(shape)  # None becomes NaN
    except OverflowError as error:
        raise ValueError(f"output {name!r} is no {datatype} tensor: {error}") from error


def _flat(data: Any) -> list[Any]:
    """Nested or flat, as the protocol allows."""
    if not isinstance(data, list):
        raise ValueError(f"an output's data is no list, but {str(data)[:100]}")
    flat: list[Any] = data
    while flat and all(isinstance(part, list) for part in flat):
        flat = [value for part in flat for value in part]
    return flat


PROTOCOL: WireProtocol = OipRest()
