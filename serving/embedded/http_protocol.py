"""HTTP/1.1 for uvicorn's server: httptools parses, a whole request goes to the API, a whole reply leaves in one write.

uvicorn's own protocol costs more for each request (an ASGI scope, a task, an event, and two writes: head and body) than a small model
does. What it does beside that is kept: keep-alive, pipelining, 100-continue, back-pressure, a clean shutdown.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

KEEP_ALIVE_S = 75.0
"""An idle connection is kept longer than load generators think between requests."""

MAX_HEAD_BYTES = 1 << 20
MAX_WAITING = 64
"""Pipelined requests that are read ahead; then the connection is read no further until some are answered."""


@dataclass(slots=True)
class Request:
    """`target` is path and query, one character a byte; header names are lower case."""

    verb: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` are complete lines, each with its line break; content-length and date are added."""

    status: int
    headers: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A reply to come: `finish` makes it of the future once that is done, and does not raise."""

    future: asyncio.Future[Any]
    finish: Callable[[asyncio.Future[Any]], Reply]


Handler = Callable[[Request], Reply | Pending]
"""Answers at once where it can. Must not raise."""

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"
_BAD = Reply(400, b"content-type: text/plain\r\n", b"Invalid HTTP request received.")


class HttpProtocol(asyncio.Protocol):
    def __init__(self, config: Config, server_state: ServerState, app_state: Any, _loop: Any = None) -> None:  # noqa: ARG002
        self._handle: Handler = config.loaded_app
        self._state = server_state
        self._connections: set[Any] = server_state.connections
        self._loop: asyncio.AbstractEventLoop = _loop or asyncio.get_event_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._waiting: deque[Request] = deque()
        self._pending: asyncio.Future[Any] | None = None
        self._closing = False
        self._last_active = self._loop.time()
        self._idle_check: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._transport = transport
        self._idle_check = self._loop.call_later(KEEP_ALIVE_S, self._close_when_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        self._closing = True
        self._waiting.clear()
        if self._idle_check is not None:
            self._idle_check.cancel()

    def data_received(self, data: bytes) -> None:
        self._last_active = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._closing = True  # another protocol was asked for; the request itself is answered
        except httptools.HttpParserError:
            self._waiting.clear()
            self._closing = True
            if self._pending is None:
                self._write(_BAD, keep_alive=False)

    def eof_received(self) -> bool:
        """The client has sent its last; what it asked for is still answered (True keeps the connection open for that)."""
        self._closing = True
        return self._pending is not None

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def shutdown(self) -> None:
        """Called by uvicorn's server when it ends: finish what was asked, take nothing new."""
        self._closing = True
        if self._pending is None and not self._waiting:
            self._transport.close()

    def _close_when_idle(self) -> None:
        idle_s = self._loop.time() - self._last_active
        if idle_s >= KEEP_ALIVE_S and self._pending is None:
            self._transport.close()
        else:
            self._idle_check = self._loop.call_later(max(1.0, KEEP_ALIVE_S - idle_s), self._close_when_idle)

    # httptools' side

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._head_bytes = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._count_head(len(name) + len(value))

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("the head of the request is too long")

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name == b"expect" and value.lower() == b"100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        parser = self._parser
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = Request(parser.get_method().decode(), self._url.decode("latin-1"), self._headers, body, parser.should_keep_alive())
        self._body = []
        if self._pending is not None or self._waiting:
            self._waiting.append(request)
            if len(self._waiting) == MAX_WAITING:
                self._transport.pause_reading()
            return
        self._answer(request)

    # answers

    def _answer(self, request: Request) -> None:
        reply = self._handle(request)
        if isinstance(reply, Reply):
            self._write(reply, keep_alive=request.keep_alive, head_only=request.verb == "HEAD")
            return
        self._pending = reply.future
        reply.future.add_done_callback(functools.partial(self._answer_later, request, reply.finish))

    def _answer_later(self, request: Request, finish: Callable[[asyncio.Future[Any]], Reply], future: asyncio.Future[Any]) -> None:
        self._pending = None
        self._write(finish(future), keep_alive=request.keep_alive, head_only=request.verb == "HEAD")
        while self._waiting and self._pending is None:
            following = self._waiting.popleft()
            if len(self._waiting) == MAX_WAITING - 1:
                self._transport.resume_reading()
            self._answer(following)

    def _write(self, reply: Reply, *, keep_alive: bool, head_only: bool = False) -> None:
        if self._transport.is_closing():
            return
        self._last_active = self._loop.time()
        self._state.total_requests += 1
        stay = keep_alive and (not self._closing or bool(self._waiting))
        parts = [_LINES[reply.status], reply.headers, b"content-length: %d\r\n" % len(reply.body)]
        parts += [b"%s: %s\r\n" % header for header in self._state.default_headers]
        parts.append(b"\r\n" if stay else b"connection: close\r\n\r\n")
        if not head_only:
            parts.append(reply.body)
        self._transport.write(b"".join(parts))
        if not stay:
            self._transport.close()
