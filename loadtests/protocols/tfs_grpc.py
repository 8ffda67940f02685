"""TF Serving's gRPC predict call, tensors as raw bytes (`tensor_content`). The embedded server speaks it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from google.protobuf.message import DecodeError

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass
from serveoff.wire import tensors, tfs_pb2

from .. import meanings

if TYPE_CHECKING:
    from serveoff.contract import Manifest
    from serveoff.launch import Endpoint
    from serveoff.plugins import Array, Tensors


class TfsGrpc:
    transport: Literal["http", "grpc"] = "grpc"
    encoding: Literal["json", "binary"] = "binary"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {}

    def path(self, endpoint: Endpoint) -> str:
        return "/tensorflow.serving.PredictionService/Predict"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        """Raises ValueError for a missing input."""
        request = tfs_pb2.PredictRequest(model_spec=tfs_pb2.ModelSpec(name=endpoint.model_name, signature_name=manifest.signature))
        for spec in manifest.inputs:
            if spec.name not in inputs:
                raise ValueError(f"input {spec.name!r} is missing, there are {sorted(inputs)}")
            tensors.write(request.inputs[spec.name], inputs[spec.name])
        encoded: bytes = request.SerializeToString(deterministic=True)  # equal tensors, equal bytes: a map has no order of its own
        return encoded

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        try:
            outputs = tfs_pb2.PredictResponse.FromString(reply).outputs
        except DecodeError as error:
            raise ValueError(f"the reply is no PredictResponse: {error}") from error
        if not outputs:
            raise ValueError("the reply has no outputs")
        return {name: tensors.read(tensor) for name, tensor in outputs.items()}

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.tfserving(status, text)


PROTOCOL: WireProtocol = TfsGrpc()
