"""The Open Inference Protocol over REST with its binary tensor extension: a JSON head, then the tensors' raw bytes, one after the other.

The header `Inference-Header-Content-Length` says where the JSON ends. Triton and OpenVINO Model Server speak it, MLServer does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass
from serveoff.wire import oip

from .. import meanings
from .oip_rest import outputs_of

if TYPE_CHECKING:
    from serveoff.contract import Manifest
    from serveoff.launch import Endpoint
    from serveoff.plugins import Array, Tensors


class OipBinaryRest:
    transport: Literal["http", "grpc"] = "http"
    encoding: Literal["json", "binary"] = "binary"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(_head_length(body))}

    def path(self, endpoint: Endpoint) -> str:
        return f"/v2/models/{quote(endpoint.model_name, safe='')}/infer"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        """Raises ValueError for a missing input, or a type other than the manifest's."""
        tensors, contents = [], []
        for spec in manifest.inputs:
            array = oip.tensor_of(spec, inputs)
            contents.append(oip.to_raw(array))
            tensors.append(
                {
                    "name": spec.name,
                    "shape": list(array.shape),
                    "datatype": oip.DATATYPES[spec.dtype],
                    "parameters": {"binary_data_size": len(contents[-1])},
                }
            )
        head = {"inputs": tensors, "parameters": {"binary_data_output": True}}
        return b"".join([json.dumps(head, separators=(",", ":")).encode(), *contents])

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        place = _head_length(reply)
        outputs = {}
        for tensor in outputs_of(json.loads(reply[:place])):
            size = _binary_size(tensor)
            outputs[str(tensor["name"])] = oip.from_raw(tensor["datatype"], tensor["shape"], reply[place : place + size])
            place += size
        if place != len(reply):
            raise ValueError(f"the reply has {len(reply)} bytes, its outputs end at {place}")
        return outputs

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.open_inference(status, text)


def _head_length(message: bytes) -> int:
    """Where the JSON object at the start of a message ends, which its header says, too. Raises ValueError where there is none."""
    try:
        _, length = json.JSONDecoder().raw_decode(message.decode("latin-1"))  # one character for each byte
    except (ValueError, RecursionError):
        raise ValueError(f"the reply does not begin with JSON: {message[:200].decode(errors='replace')!r}") from None
    return length


def _binary_size(tensor: Mapping[str, Any]) -> int:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if type(size) is not int or size < 0:
        raise ValueError(f"output {tensor['name']!r} does not say how many bytes it has")
    return size


PROTOCOL: WireProtocol = OipBinaryRest()
