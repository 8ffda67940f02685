"""What a failed request means, whatever number its server put on it: TorchServe says 503 for bad input and for overload.

Statuses are `503` (HTTP) and `UNAVAILABLE` (gRPC). The words are those of the servers' sources: tensorflow/serving (http_rest_api_util.cc,
TensorFlow's shared_batch_scheduler.h), pytorch/serve 0.12 (InferenceRequestHandler, InferenceImpl, GRPCJob, Model.java).
"""

from __future__ import annotations

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass

_TIMEOUT = frozenset({"408", "504", "DEADLINE_EXCEEDED"})
_OVERLOAD = frozenset({"429", "503", "RESOURCE_EXHAUSTED", "UNAVAILABLE"})
_CLIENT = frozenset(
    {
        *("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED"),
        *("FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED", "501"),
    }
)
_NO_CONNECTION = ("refused", "failed to connect", "no route", "unreachable", "name or service not known", "name resolution", "dns")
_LOST_CONNECTION = ("socket closed", "connection reset", "broken pipe", "goaway", "connection closed", "stream removed", "watchdog")


def of(wire: WireProtocol, kind: str, text: str) -> ErrorClass:
    """The meaning of a CallError: `kind` is `timeout`, `connection`, `malformed reply`, `http-STATUS` or `grpc-STATUS`."""
    if kind == "timeout":
        return "timeout"
    if kind in ("connection", "grpc-UNAVAILABLE"):  # gRPC has no status of its own for a server that is not there
        if _says(text, _NO_CONNECTION):
            return "refused"
        if kind == "connection" or _says(text, _LOST_CONNECTION):
            return "connection lost"
    _, dash, status = kind.partition("-")
    return wire.meaning(status, text) if dash else "server fault"


def by_status(status: str) -> ErrorClass:
    """What the status alone says, where its server gives it one meaning."""
    if status in _TIMEOUT:
        return "timeout"
    if status in _OVERLOAD:
        return "overload"
    return "client's fault" if status in _CLIENT or (len(status) == 3 and status.startswith("4")) else "server fault"


def tfserving(status: str, text: str) -> ErrorClass:
    """Of TF Serving and the embedded server. Both full queues and empty memory are RESOURCE_EXHAUSTED or UNAVAILABLE there."""
    if status in _OVERLOAD:
        if _says(text, ("larger than max", "too large")):  # gRPC's own limit on a message
            return "client's fault"
        return "overload" if _says(text, ("queue", "overload", "too many")) else "server fault"
    return by_status(status)


def open_inference(status: str, text: str) -> ErrorClass:
    """Of servers of the Open Inference Protocol: Triton's full queue says so; what is not ready, or a worker that died, is a fault."""
    return tfserving(status, text)


def torchserve(status: str, text: str) -> ErrorClass:
    """Of TorchServe. Over gRPC a full queue and an unknown model are both INTERNAL; what our handler refuses is a 400.

    `Prediction failed` is any exception inside the handler; ours raises only what is no fault of the request.
    """
    if _says(text, ("no worker to serve inference request", "maxsequencejobqueuesize")):
        return "overload"
    if _says(text, ("model not found", "model version:", "parameter model_name is required")):
        return "client's fault"
    if status in ("503", "UNAVAILABLE"):
        return "server fault"
    return by_status(status)


def _says(text: str, words: tuple[str, ...]) -> bool:
    lower = text.lower()
    return any(word in lower for word in words)
