"""PredictionService and ModelService over grpc.aio, with serveoff's own copies of the messages (no TensorFlow in the process)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

from . import log, metadata
from .catalog import Catalog
from .servable import DEFAULT_SIGNATURE, Servable, check_inputs, filter_outputs, signature_of
from .status import Code, ServingError, from_exception, invalid

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server would quietly share the port
)
_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE_BYTES = 1024
_TRUNCATED = "...TRUNCATED"

Method = Callable[[Any, "float | None"], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class GrpcApi:
    catalog: Catalog
    tensor_content: bool = False

    def handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, tuple[Any, Method]] = {
            _PREDICTION + "Predict": (pb.PredictRequest, self.predict),
            _PREDICTION + "GetModelMetadata": (pb.GetModelMetadataRequest, self.get_model_metadata),
            _MODEL + "GetModelStatus": (pb.GetModelStatusRequest, self.get_model_status),
        }
        return _Handlers({name: grpc.unary_unary_rpc_method_handler(_call(*method)) for name, method in methods.items()})

    def find(self, spec: pb.ModelSpec) -> Servable:
        """The servable of a ModelSpec. Raises ServingError."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        return self.catalog.find(
            spec.name,
            spec.version.value if choice == "version" else None,
            spec.version_label if choice == "version_label" else None,
        )

    async def predict(self, request: pb.PredictRequest, timeout_s: float | None) -> pb.PredictResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        servable = self.find(spec)
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = signature_of(servable, name)
        inputs = {}
        for alias, proto in request.inputs.items():
            try:
                inputs[alias] = tensors.read(proto)
            except ValueError as error:
                raise invalid(f"tensor parsing error: {alias}: {error}") from None
        check_inputs(signature, inputs)
        names = filter_outputs(signature, list(request.output_filter))
        outputs = await servable.run(name, inputs, timeout_s)
        reply = pb.PredictResponse()
        reply.model_spec.name = spec.name
        reply.model_spec.signature_name = name
        reply.model_spec.version.value = servable.version
        for alias in names:
            tensors.write(reply.outputs[alias], outputs[alias], content=self.tensor_content)
        return reply

    async def get_model_metadata(self, request: pb.GetModelMetadataRequest, _timeout_s: float | None) -> pb.GetModelMetadataResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != metadata.SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        reply = pb.GetModelMetadataResponse()
        metadata.fill_metadata(self.find(request.model_spec), reply)
        return reply

    async def get_model_status(self, request: pb.GetModelStatusRequest, _timeout_s: float | None) -> pb.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        reply = pb.GetModelStatusResponse()
        metadata.fill_status(self.catalog.statuses(spec.name, version), reply)
        return reply


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


def _call(kind: Any, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """Bytes in, bytes out: messages are read and written here, so that every failure has our own code and text."""

    async def handle(data: bytes, context: Any) -> bytes:
        try:
            reply = await method(kind.FromString(data), context.time_remaining())
            return bytes(reply.SerializeToString())
        except DecodeError:
            failure = ServingError(Code.INTERNAL, f"the request is not a {kind.DESCRIPTOR.name} message")
        except ServingError as error:
            failure = error
        except Exception as error:  # a bad request must never take the server down, whatever it finds
            log.error(f"{kind.DESCRIPTOR.name}: {type(error).__name__}: {error}")
            failure = from_exception(error)
        await context.abort(_STATUS[failure.code], _shortened(failure.message))
        raise AssertionError

    return handle


def _shortened(message: str) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= _MAX_MESSAGE_BYTES:
        return message
    return data[: _MAX_MESSAGE_BYTES - len(_TRUNCATED)].decode("utf-8", "ignore") + _TRUNCATED


def server(api: GrpcApi) -> Any:
    """A grpc.aio server with everything registered; ports are the caller's business."""
    result = grpc.aio.server(options=OPTIONS)
    result.add_generic_rpc_handlers((api.handlers(),))
    return result
