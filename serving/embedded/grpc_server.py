"""Puts the gRPC API on a grpc.aio server: method table, codes, limits, health, TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.message import DecodeError

from . import text_protos
from .grpc_api import GrpcApi, Method
from .status import ServingError, invalid

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server would quietly share the port
)
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE_BYTES = 1024
_TRUNCATED = "...TRUNCATED"
_HEALTH = "/grpc.health.v1.Health/"
_HEALTHY_SERVICES = ("", "ModelService", "PredictionService")
_SERVING, _SERVICE_UNKNOWN = 1, 3


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


def server(api: GrpcApi, *, health: bool = False, channel_arguments: str = "") -> Any:
    """A server with every method registered; ports are the caller's business. Raises ServingError for bad channel arguments."""
    methods = {name: grpc.unary_unary_rpc_method_handler(_call(api, name, *row)) for name, row in api.methods().items()}
    if health:
        methods[_HEALTH + "Check"] = grpc.unary_unary_rpc_method_handler(_check)
        methods[_HEALTH + "Watch"] = grpc.unary_stream_rpc_method_handler(_watch)
    result = grpc.aio.server(options=(*_OPTIONS, *_arguments(channel_arguments)))
    result.add_generic_rpc_handlers((_Handlers(methods),))
    return result


def _arguments(text: str) -> list[tuple[str, int | str]]:
    """`k=v,k=v`; whole numbers are passed as numbers."""
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, given, value = part.partition("=")
        if not given:
            raise invalid(f"--grpc_channel_arguments: {part!r} is not of the form name=value")
        pairs.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return pairs


def credentials(path: str) -> Any:
    """Of an SSLServerConfig text file, whose fields hold PEM text. Raises ServingError."""
    config = text_protos.read("SSLServerConfig", path)
    if config.client_verify and not config.custom_ca:
        raise invalid(f"{path}: client_verify needs custom_ca")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _call(api: GrpcApi, name: str, kind: Any, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def handle(data: bytes, context: Any) -> bytes:
        try:
            return await api.answer(name, kind, method, data, context.time_remaining())
        except ServingError as error:
            await context.abort(_STATUS[error.code], _shortened(error.message))
        raise AssertionError

    return handle


def _shortened(message: str) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= _MAX_MESSAGE_BYTES:
        return data.decode()
    return data[: _MAX_MESSAGE_BYTES - len(_TRUNCATED)].decode("utf-8", "ignore") + _TRUNCATED


async def _service_of(data: bytes, context: Any) -> str:
    """HealthCheckRequest has one string at 1, as StringValue has; its reply one number at 1, as Int32Value has."""
    try:
        return str(wrappers_pb2.StringValue.FromString(data).value)
    except DecodeError:
        await context.abort(grpc.StatusCode.INTERNAL, "the request is not a HealthCheckRequest message")
        raise


def _health(status: int) -> bytes:
    return bytes(wrappers_pb2.Int32Value(value=status).SerializeToString())


async def _check(data: bytes, context: Any) -> bytes:
    if await _service_of(data, context) not in _HEALTHY_SERVICES:
        await context.abort(grpc.StatusCode.NOT_FOUND, "")
    return _health(_SERVING)


async def _watch(data: bytes, context: Any) -> AsyncIterator[bytes]:
    """The state never changes while the server runs; the stream stays open until the client leaves or the server stops."""
    known = await _service_of(data, context) in _HEALTHY_SERVICES
    yield _health(_SERVING if known else _SERVICE_UNKNOWN)
