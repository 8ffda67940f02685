"""gRPC on the event loop itself, over zttp's HTTP/2 state machine.

grpcio's server spends 450 us and three thread changes on a call whatever it does, this one 60 us and none (measured with an echo). It knows
unary calls, and the one server stream of the health service. `grpc_grpcio` stands in where TLS or grpcio's own options are asked for.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zttp

from . import grpc_messages as messages
from .grpc_api import GrpcApi, Later
from .status import Code, ServingError

Unary = Callable[[bytes, "float | None"], "bytes | Later"]

WINDOW_BYTES = 1 << 24
"""What a client may send ahead. zttp grants 64 KiB and renews it at every frame, so a client waits ten times for one image (2.2 of 3.4 ms).
A wider first grant, sent beside zttp's, leaves that renewal as it is."""

MAX_RESETS = 128
"""zttp ends a connection for good at the 256th call that its client cancels; so after this many it is left in good order, and the client
makes a new one without noticing."""

MAX_CALLS = 4000
"""Nor does it take more than 4096 calls on one connection, good ones included."""

_INITIAL_WINDOW_SIZE = 4
_WIDER = struct.pack(">BHBBLHL", 0, 6, 4, 0, 0, _INITIAL_WINDOW_SIZE, WINDOW_BYTES) + struct.pack(">BHBBLL", 0, 4, 8, 0, 0, WINDOW_BYTES)
"""A SETTINGS frame for every stream, and a WINDOW_UPDATE frame for the connection."""

_HEADERS = [(b"content-type", b"application/grpc")]
_OK = [(b"grpc-status", b"0")]
_NOT_GRPC = [(b"content-type", b"text/plain")]


@dataclass(slots=True, eq=False)
class _Call:
    path: str
    timeout_s: float | None
    encoding: bytes
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    pending: asyncio.Future[Any] | None = None


class Methods:
    """What can be called: path -> handler, and the paths whose reply stays open."""

    def __init__(self, api: GrpcApi, *, health: bool) -> None:
        self.unary: dict[str, Unary] = {}
        for name, (kind, method) in api.methods().items():
            self.unary[name] = self._bound(api, name, kind, method)
        self.streams: dict[str, Callable[[bytes], bytes]] = {}
        if health:
            self.unary[messages.HEALTH + "Check"] = lambda data, _timeout_s: messages.health_check(data)
            self.streams[messages.HEALTH + "Watch"] = messages.health_watch

    @staticmethod
    def _bound(api: GrpcApi, name: str, kind: Any, method: Any) -> Unary:
        return lambda data, timeout_s: api.answer(name, kind, method, data, timeout_s)


class GrpcProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, methods: Methods, connections: set[GrpcProtocol]) -> None:
        self._methods = methods
        self._connections = connections
        self._connection: Any = zttp.Connection(zttp.SERVER, protocol=zttp.HTTP2)
        self._calls: dict[int, _Call] = {}
        self._transport: Any = None
        self._draining = False
        self._last_stream = 0
        self._resets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)
        self._connection.initiate_connection()
        self._transport.write(self._connection.data_to_send() + _WIDER)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        for call in self._calls.values():
            if call.pending is not None:
                call.pending.cancel()
        self._calls.clear()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not zttp.NEED_DATA:
                self._take(event)
        except zttp.ProtocolError:
            self._flush()
            self._transport.close()
            return
        self._flush()

    def shutdown(self) -> None:
        """Take no new calls; close once those in flight are answered."""
        for stream_id, call in list(self._calls.items()):
            if call.path in self._methods.streams:
                self._finish(stream_id, [(b"grpc-status", b"14")])
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Calls that came until now are answered; the client makes a new connection for later ones."""
        if not self._draining and not self._transport.is_closing():
            self._draining = True
            self._connection.close(0, self._last_stream)
            self._flush()
        self._close_when_done()

    def abort(self) -> None:
        self._transport.abort()

    def _close_when_done(self) -> None:
        if self._draining and not self._calls and not self._transport.is_closing():
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is zttp.Request:
            self._open(event)
            if event.end_stream:
                self._complete(event.stream_id)
        elif kind is zttp.Data:
            call = self._calls.get(event.stream_id)
            if call is not None:
                call.parts.append(event.data)
                call.size += len(event.data)
                if call.size > messages.MAX_MESSAGE_BYTES:
                    self._fail(event.stream_id, ServingError(Code.RESOURCE_EXHAUSTED, "the message is too large"))
        elif kind is zttp.EndOfMessage:
            self._complete(event.stream_id)
        elif kind is zttp.RstStream:
            self._cancel(event.stream_id)
        elif kind is zttp.GoAway:
            self._say_goodbye()

    def _cancel(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is not None and call.pending is not None:
            call.pending.cancel()
        self._resets += 1
        if self._resets >= MAX_RESETS:
            self._say_goodbye()
        self._close_when_done()

    def _open(self, event: Any) -> None:
        path, stream_id = event.target.decode("latin-1"), event.stream_id
        if self._draining:
            return  # the client knows that this call was not taken, and sends it again over a new connection
        self._last_stream = stream_id
        call = _Call(path, None, b"identity")
        content_type = b""
        for name, value in event.headers:
            if name == b"grpc-timeout":
                call.timeout_s = messages.timeout_s(value)
            elif name == b"grpc-encoding":
                call.encoding = value
            elif name == b"content-type":
                content_type = value
        if event.method != b"POST" or not content_type.startswith(b"application/grpc"):
            self._connection.stream(stream_id).send_response(415, _NOT_GRPC, True)
            return
        self._calls[stream_id] = call
        if stream_id >= 2 * MAX_CALLS:
            self._say_goodbye()
        if path not in self._methods.unary and path not in self._methods.streams:
            self._fail(stream_id, ServingError(Code.UNIMPLEMENTED, ""))

    def _complete(self, stream_id: int) -> None:
        """The whole request is here."""
        call = self._calls.get(stream_id)
        if call is None:
            return
        try:
            request = messages.unframed(call.parts[0] if len(call.parts) == 1 else b"".join(call.parts), call.encoding)
            call.parts.clear()
            if call.path in self._methods.streams:
                self._send(stream_id, self._methods.streams[call.path](request))
                return
            reply = self._methods.unary[call.path](request, call.timeout_s)
        except ServingError as error:
            self._fail(stream_id, error)
            return
        if isinstance(reply, bytes):
            self._reply(stream_id, reply)
        else:
            call.pending, finish = reply
            call.pending.add_done_callback(functools.partial(self._reply_later, stream_id, finish))

    def _reply_later(self, stream_id: int, finish: Callable[[asyncio.Future[Any]], bytes], future: asyncio.Future[Any]) -> None:
        if stream_id not in self._calls:
            if not future.cancelled():
                future.exception()  # looked at, so that asyncio does not complain
            return
        try:
            self._reply(stream_id, finish(future))
        except ServingError as error:
            self._fail(stream_id, error)
        self._flush()

    def _reply(self, stream_id: int, reply: bytes) -> None:
        self._send(stream_id, reply)
        self._finish(stream_id, _OK)

    def _send(self, stream_id: int, message: bytes) -> None:
        stream = self._connection.stream(stream_id)
        stream.send_response(200, _HEADERS)
        stream.send_data(messages.framed(message))

    def _finish(self, stream_id: int, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._calls.pop(stream_id, None) is not None:
            self._connection.stream(stream_id).end_message(trailers)
            self._close_when_done()

    def _fail(self, stream_id: int, error: ServingError) -> None:
        if self._calls.pop(stream_id, None) is None:
            return
        message = messages.percent_encoded(messages.shortened(error.message))
        status = [*_HEADERS, (b"grpc-status", b"%d" % error.code), (b"grpc-message", message)]
        self._connection.stream(stream_id).send_response(200, status, True)
        self._close_when_done()


class GrpcServer:
    """Listens on ports and UNIX sockets."""

    def __init__(self, api: GrpcApi, *, health: bool) -> None:
        self._methods = Methods(api, health=health)
        self._connections: set[GrpcProtocol] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self, listeners: list[socket.socket]) -> None:
        """Take connections of bound sockets."""
        loop = asyncio.get_running_loop()
        for listener in listeners:
            create: Any = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await create(lambda: GrpcProtocol(self._methods, self._connections), sock=listener))

    async def stop(self, grace_s: float) -> None:
        """Answer what is in flight for at most `grace_s`, then close every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.shutdown()
        end = asyncio.get_running_loop().time() + grace_s
        while self._connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()
