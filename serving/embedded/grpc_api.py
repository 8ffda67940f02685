"""PredictionService and ModelService, with serveoff's own copies of the messages (no TensorFlow in the process)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from serveoff.wire import tfs_pb2 as pb

from . import inference, log, metadata, packed
from .catalog import Catalog
from .metrics import Metrics
from .reload import Reloader
from .servable import DEFAULT_SIGNATURE, Servable, check_inputs, filter_outputs, signature_of
from .status import Code, ServingError, from_exception, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Tensors

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"

Method = Callable[[Any, "float | None"], Any]
"""(request, seconds left) -> the reply's message, an awaitable of it, or a future and what makes the message of it. Raises ServingError."""

Later = tuple["asyncio.Future[Any]", Callable[["asyncio.Future[Any]"], bytes]]
"""A future, and what makes the reply of it once it is done (raises ServingError)."""


@dataclass(frozen=True, slots=True)
class GrpcApi:
    catalog: Catalog
    metrics: Metrics
    reloader: Reloader
    tensor_content: bool = False

    def methods(self) -> dict[str, tuple[Any, Method]]:
        """Full method name -> the request's message class and what answers it."""
        return {
            PREDICTION + "Predict": (pb.PredictRequest, self.predict),
            PREDICTION + "Classify": (pb.ClassificationRequest, self.classify),
            PREDICTION + "Regress": (pb.RegressionRequest, self.regress),
            PREDICTION + "MultiInference": (pb.MultiInferenceRequest, self.multi_inference),
            PREDICTION + "GetModelMetadata": (pb.GetModelMetadataRequest, self.get_model_metadata),
            MODEL + "GetModelStatus": (pb.GetModelStatusRequest, self.get_model_status),
            MODEL + "HandleReloadConfigRequest": (pb.ReloadConfigRequest, self.reload),
        }

    def answer(self, name: str, kind: Any, method: Method, data: bytes, timeout_s: float | None) -> bytes | Later:
        """The reply to one call of `methods`, at once where no model has to run for long. Raises ServingError, whatever happens."""
        start, request = time.perf_counter(), None
        try:
            request = kind.FromString(data)
            reply = method(request, timeout_s)
            if hasattr(reply, "SerializeToString"):
                return self._done(name, request, start, reply)
        except Exception as error:
            raise self._failed(name, request, start, error) from None
        future, finish = reply if isinstance(reply, tuple) else (asyncio.ensure_future(reply), asyncio.Future.result)

        def finished(done: asyncio.Future[Any]) -> bytes:
            try:
                return self._done(name, request, start, finish(done))
            except asyncio.CancelledError:
                raise ServingError(Code.CANCELLED, "the call was cancelled") from None
            except Exception as error:
                raise self._failed(name, request, start, error) from None

        return future, finished

    def _done(self, name: str, request: Any, start: float, reply: Any) -> bytes:
        data = bytes(reply.SerializeToString())
        self._count(name, request, Code.OK, start)
        return data

    def _failed(self, name: str, request: Any, start: float, error: Exception) -> ServingError:
        """What the client is told; a bad request must never take the server down, whatever it finds."""
        if isinstance(error, DecodeError):
            failure = ServingError(Code.INTERNAL, f"the request is no message of {name}")
        else:
            failure = from_exception(error)
            if not isinstance(error, ServingError):
                log.error(f"{name}: {failure}")
        self._count(name, request, failure.code, start)
        return failure

    def _count(self, name: str, request: Any, code: Code, start: float) -> None:
        if name.startswith(PREDICTION):
            model = _model_of(request)
            if self.catalog.knows(model):
                self.metrics.request(model, name.removeprefix(PREDICTION), "GRPC", code.name, time.perf_counter() - start)

    def find(self, request: Any) -> Servable:
        """The servable of the request's ModelSpec. Raises ServingError."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        version = spec.version.value if choice == "version" else None
        return self.catalog.find(spec.name, version, spec.version_label if choice == "version_label" else None)

    def predict(self, request: pb.PredictRequest, timeout_s: float | None) -> Any:
        servable = self.find(request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = signature_of(servable, name)
        inputs = {}
        for alias, proto in request.inputs.items():
            try:
                inputs[alias] = packed.read(proto)
            except ValueError as error:
                raise invalid(f"tensor parsing error: {alias}: {error}") from None
        check_inputs(signature, inputs)
        names = filter_outputs(signature, list(request.output_filter))
        outputs = servable.run_if_quick(name, inputs)
        if outputs is not None:
            return self._predicted(servable, name, names, outputs)
        start = time.perf_counter()
        future = servable.submit(name, inputs, timeout_s)
        return future, lambda done: self._predicted(servable, name, names, servable.outcome(done, start))

    def _predicted(self, servable: Servable, name: str, names: list[str], outputs: Tensors) -> pb.PredictResponse:
        reply = pb.PredictResponse()
        _name(reply.model_spec, servable, name)
        for alias in names:
            packed.write(reply.outputs[alias], outputs[alias], content=self.tensor_content)
        return reply

    async def classify(self, request: pb.ClassificationRequest, timeout_s: float | None) -> pb.ClassificationResponse:
        servable, reply = self.find(request), pb.ClassificationResponse()
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        inference.fill_classifications(await inference.classify(servable, name, request.input, timeout_s), reply.result)
        _name(reply.model_spec, servable, name)
        return reply

    async def regress(self, request: pb.RegressionRequest, timeout_s: float | None) -> pb.RegressionResponse:
        servable, reply = self.find(request), pb.RegressionResponse()
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        inference.fill_regressions(await inference.regress(servable, name, request.input, timeout_s), reply.result)
        _name(reply.model_spec, servable, name)
        return reply

    async def multi_inference(self, request: pb.MultiInferenceRequest, timeout_s: float | None) -> pb.MultiInferenceResponse:
        if not request.tasks:
            raise invalid("Missing ModelSpec")
        reply = pb.MultiInferenceResponse()
        await inference.multi(self.find(request.tasks[0]), request, timeout_s, reply)
        return reply

    def get_model_metadata(self, request: pb.GetModelMetadataRequest, _timeout_s: float | None) -> pb.GetModelMetadataResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != metadata.SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        reply = pb.GetModelMetadataResponse()
        metadata.fill_metadata(self.find(request), reply)
        return reply

    def get_model_status(self, request: pb.GetModelStatusRequest, _timeout_s: float | None) -> pb.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        reply = pb.GetModelStatusResponse()
        version = spec.version.value if spec.HasField("version") else None
        metadata.fill_status(self.catalog.statuses(spec.name, version), reply)
        return reply

    async def reload(self, request: pb.ReloadConfigRequest, _timeout_s: float | None) -> pb.ReloadConfigResponse:
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid("ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported")
        before = {name: self.metrics.total(name) for name in request.metric_names}
        await asyncio.to_thread(self.reloader.apply, request.config)
        reply = pb.ReloadConfigResponse()
        reply.status.SetInParent()
        for name, count in before.items():
            after = self.metrics.total(name)
            if count is not None and after is not None:
                reply.metric.add(name=name, int64_value_increase=after - count)
        return reply


def _name(spec: pb.ModelSpec, servable: Servable, signature: str) -> None:
    spec.name = servable.name
    spec.signature_name = signature
    spec.version.value = servable.version


def _model_of(request: Any) -> str:
    if request is None:
        return ""
    if isinstance(request, pb.MultiInferenceRequest):
        return request.tasks[0].model_spec.name if request.tasks else ""
    return str(request.model_spec.name) if hasattr(request, "model_spec") else ""
