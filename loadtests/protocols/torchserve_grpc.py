"""TorchServe over gRPC (`inference.proto` in TorchServe 0.12's jar): the inputs as a map of `.npy` files, answered by the outputs' files.

TorchServe itself gives these bytes no meaning; our handler (`serving/torchserve_handler.py`) reads and writes them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

from serveoff.contract import Manifest
from serveoff.launch import Endpoint
from serveoff.plugins import Array, Tensors, WireProtocol
from serveoff.results import ErrorClass

from .. import meanings

_NPY = b"\x93NUMPY"


class TorchServeGrpc:
    transport: Literal["http", "grpc"] = "grpc"
    encoding: Literal["json", "binary"] = "binary"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {}

    def path(self, endpoint: Endpoint) -> str:
        return "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        """Raises ValueError for a missing input, or a type other than the manifest's."""
        import numpy as np

        from serveoff.wire.torchserve_pb2 import PredictionsRequest

        files = {}
        for tensor in manifest.inputs:
            value = inputs.get(tensor.name)
            if value is None or value.dtype.name != tensor.dtype:
                raise ValueError(f"input {tensor.name!r} is {'missing' if value is None else value.dtype.name}, not {tensor.dtype}")
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)  # one layout: equal tensors, equal bytes
            files[tensor.name] = buffer.getvalue()
        request = PredictionsRequest(model_name=endpoint.model_name, input=files)
        body: bytes = request.SerializeToString(deterministic=True)  # a map has no order of its own
        return body

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        import numpy as np
        from google.protobuf.message import DecodeError

        from serveoff.wire.torchserve_pb2 import PredictionResponse

        try:
            prediction = PredictionResponse.FromString(reply).prediction
        except DecodeError as error:
            raise ValueError(f"the reply is not a PredictionResponse: {error}") from None
        if not prediction.startswith(_NPY):  # a request refused inside a batch: TorchServe calls that a success over gRPC
            raise ValueError(f"the reply holds no tensors: {prediction[:300].decode(errors='replace')}")
        source = io.BytesIO(prediction)
        outputs = {}
        for tensor in manifest.outputs:
            try:
                outputs[tensor.name] = np.load(source, allow_pickle=False)
            except (EOFError, ValueError) as error:
                raise ValueError(f"output {tensor.name!r} is not in the reply as a whole .npy file: {error}") from error
        if rest := source.read():
            raise ValueError(f"the reply has {len(rest)} bytes after its {len(outputs)} outputs")
        return outputs

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.torchserve(status, text)


PROTOCOL: WireProtocol = TorchServeGrpc()
