"""Unary gRPC calls of bytes over one connection: the frames of HTTP/2 are `http2`'s, the messages are made beforehand.

grpcio costs some ten times as much under gevent (`bench/clients.py`), and Locust would measure that.
"""

from __future__ import annotations

from urllib.parse import unquote

from serveoff.launch import Endpoint

from ..handover import Payloads
from . import clock
from .calls import CallError
from .http2 import Connection, GoneError, Headers, Http2Error, StreamResetError, header_block
from .sockets import BrokenReplyError, Line, SocketClient

STATUSES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"),
    *("RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
_OF_RESET = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
"""HTTP/2 error code -> status, as gRPC's "PROTOCOL-HTTP2" has it; the others are INTERNAL."""
_PREFIX_BYTES = 5


class GrpcClient(SocketClient):
    def __init__(self, endpoint: Endpoint, payloads: Payloads, timeout_s: float) -> None:
        super().__init__(endpoint, timeout_s)
        self._messages = [b"\0" + len(body).to_bytes(4, "big") + body for body in payloads.bodies]
        self._head = header_block(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", payloads.path),
                (":authority", f"{endpoint.host}:{endpoint.port}"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("grpc-timeout", f"{max(1, min(round(timeout_s * 1000), 99_999_999))}m"),
                ("user-agent", "serveoff"),
            ]
        )
        self._known_blocks: dict[bytes, Headers] = {}
        self._http2 = Connection(self._known_blocks)

    def _connect(self) -> Line:
        self._http2 = Connection(self._known_blocks)
        return super()._connect()

    def _exchange(self, line: Line, payload: int) -> bytes:
        message = self._messages[payload]
        try:
            try:
                self._transfer(line, message)
            except GoneError as gone:
                if not gone.in_order:
                    raise
                self.close()  # it did not look at this call, and says so: every gRPC client sends it again, and so may we
                self._transfer(self._connect(), message)
        except GoneError as gone:
            raise BrokenReplyError("connection", str(gone)) from None
        except StreamResetError as reset:
            raise CallError(f"grpc-{_OF_RESET.get(reset.code, 'INTERNAL')}", str(reset)) from None
        except Http2Error as error:
            raise BrokenReplyError("malformed reply", str(error)) from None
        if self._http2.farewell:
            self.close()
        return _message(self._http2.headers, self._http2.parts)

    def _transfer(self, line: Line, message: bytes) -> None:
        http2 = self._http2
        http2.open(self._head)
        sent = http2.send(message, 0)
        self.sent_ns = self.sent_ns or clock.now_ns()
        while not http2.complete:
            if http2.out:
                out, http2.out = http2.out, b""
                line.send(out)
            data = line.receive()
            if not data:
                raise self._ended(begun=http2.begun)
            http2.receive(data)
            if sent < len(message):
                sent = http2.send(message, sent)
        self.received_ns = line.received_ns
        if sent < len(message):
            http2.cancel()


def _message(headers: list[Headers], parts: list[bytes]) -> bytes:
    """The message of a whole reply: headers, data and trailers, or trailers alone. Raises CallError."""
    if not headers:
        raise CallError("malformed reply", "data without headers")
    http_status, last = headers[0].get(":status", ""), headers[-1]
    status = last.get("grpc-status")
    if http_status != "200":
        raise CallError(f"http-{http_status}", b"".join(parts)[:300].decode(errors="replace").strip())
    if status is None:
        raise CallError("malformed reply", "it ended without a gRPC status")
    if status != "0":
        name = STATUSES[int(status)] if status.isdecimal() and int(status) < len(STATUSES) else "UNKNOWN"
        kind = "timeout" if name == "DEADLINE_EXCEEDED" else f"grpc-{name}"
        raise CallError(kind, unquote(last.get("grpc-message", "")))
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if body[:1] != b"\0" or int.from_bytes(body[1:_PREFIX_BYTES], "big") != len(body) - _PREFIX_BYTES:
        raise CallError("malformed reply", f"not one uncompressed message: {body[:40]!r}")
    return body[_PREFIX_BYTES:]
