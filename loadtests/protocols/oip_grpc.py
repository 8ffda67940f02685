"""The Open Inference Protocol over gRPC (ModelInfer), tensors as raw bytes. Triton, MLServer and OpenVINO Model Server speak it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from google.protobuf.message import DecodeError

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass
from serveoff.wire import oip, oip_pb2

from .. import meanings

if TYPE_CHECKING:
    from serveoff.contract import Manifest
    from serveoff.launch import Endpoint
    from serveoff.plugins import Array, Tensors


class OipGrpc:
    transport: Literal["http", "grpc"] = "grpc"
    encoding: Literal["json", "binary"] = "binary"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {}

    def path(self, endpoint: Endpoint) -> str:
        return "/inference.GRPCInferenceService/ModelInfer"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        """Raises ValueError for a missing input, or a type other than the manifest's."""
        request = oip_pb2.ModelInferRequest(model_name=endpoint.model_name)
        for spec in manifest.inputs:
            array = oip.tensor_of(spec, inputs)
            request.inputs.add(name=spec.name, datatype=oip.DATATYPES[spec.dtype], shape=array.shape)
            request.raw_input_contents.append(oip.to_raw(array))
        encoded: bytes = request.SerializeToString()
        return encoded

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        """A reply to raw bytes has raw bytes: the protocol allows no mixture."""
        try:
            response = oip_pb2.ModelInferResponse.FromString(reply)
        except DecodeError as error:
            raise ValueError(f"the reply is no ModelInferResponse: {error}") from error
        tensors, contents = response.outputs, response.raw_output_contents
        if not tensors or len(tensors) != len(contents):
            raise ValueError(f"the reply names {len(tensors)} outputs, and has raw contents for {len(contents)}")
        return {
            tensor.name: oip.from_raw(tensor.datatype, list(tensor.shape), content)
            for tensor, content in zip(tensors, contents, strict=True)
        }

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.open_inference(status, text)


PROTOCOL: WireProtocol = OipGrpc()
