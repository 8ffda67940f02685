"""gRPC through grpcio's server: for TLS, and for --grpc_channel_arguments, which are grpcio's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from serveoff.errors import InputError

from . import grpc_messages as messages
from . import text_protos
from .grpc_api import GrpcApi, Method
from .status import ServingError, invalid

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # else a second server would quietly share the port
)
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        return self._methods.get(handler_call_details.method)


class GrpcioServer:
    """The same face as `grpc_http2.GrpcServer`, but it binds its addresses itself."""

    def __init__(self, api: GrpcApi, *, health: bool, channel_arguments: str = "", ssl_config_file: str = "") -> None:
        """Raises ServingError for bad channel arguments or a bad file."""
        self._stopping = asyncio.Event()
        self._credentials = _credentials(ssl_config_file) if ssl_config_file else None
        methods = {name: grpc.unary_unary_rpc_method_handler(_call(api, name, *row)) for name, row in api.methods().items()}
        if health:
            methods[messages.HEALTH + "Check"] = grpc.unary_unary_rpc_method_handler(_check)
            methods[messages.HEALTH + "Watch"] = grpc.unary_stream_rpc_method_handler(self._watch)
        self._server = grpc.aio.server(options=(*_OPTIONS, *_arguments(channel_arguments)))
        self._server.add_generic_rpc_handlers((_Handlers(methods),))

    async def start(self, addresses: list[str]) -> None:
        """`HOST:PORT` or `unix:PATH`. Raises InputError when one is taken."""
        for address in addresses:
            try:
                if self._credentials is not None:
                    self._server.add_secure_port(address, self._credentials)
                else:
                    self._server.add_insecure_port(address)
            except RuntimeError:
                raise InputError(f"cannot listen on {address}", hint="choose another port, or stop what uses it") from None
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        self._stopping.set()
        await self._server.stop(grace_s)

    async def _watch(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield messages.health_watch(data)
        except ServingError as error:
            await _abort(context, error)
        await self._stopping.wait()


def _arguments(text: str) -> list[tuple[str, int | str]]:
    """`k=v,k=v`; whole numbers are passed as numbers."""
    pairs: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, given, value = part.partition("=")
        if not given:
            raise invalid(f"--grpc_channel_arguments: {part!r} is not of the form name=value")
        pairs.append((key, int(value) if value.lstrip("-").isdigit() else value))
    return pairs


def _credentials(path: str) -> Any:
    """Of an SSLServerConfig text file, whose fields hold PEM text."""
    config = text_protos.read("SSLServerConfig", path)
    if config.client_verify and not config.custom_ca:
        raise invalid(f"{path}: client_verify needs custom_ca")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


async def _abort(context: Any, error: ServingError) -> None:
    await context.abort(_STATUS[error.code], messages.shortened(error.message))


def _call(api: GrpcApi, name: str, kind: Any, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def handle(data: bytes, context: Any) -> bytes:
        try:
            reply = api.answer(name, kind, method, data, context.time_remaining())
            if isinstance(reply, bytes):
                return reply
            future, finish = reply
            await asyncio.wait((future,))
            return finish(future)
        except ServingError as error:
            await _abort(context, error)
        raise AssertionError

    return handle


async def _check(data: bytes, context: Any) -> bytes:
    try:
        return messages.health_check(data)
    except ServingError as error:
        await _abort(context, error)
    raise AssertionError
