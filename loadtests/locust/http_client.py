"""HTTP/1.1 over one keep-alive gevent socket with requests made beforehand. Replies are parsed by llhttp (httptools).

Nothing is sent twice and no redirect is followed: what the server does to the first attempt is the measurement.
"""

from __future__ import annotations

import contextlib
import time
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY

import gevent.socket
import httptools

from serveoff.contract import Endpoint

from ..handover import Payloads
from .calls import CallError

_CHUNK_BYTES = 1 << 16
_TEXT_CHARACTERS = 300


class HttpClient:
    def __init__(self, endpoint: Endpoint, payloads: Payloads, timeout_s: float) -> None:
        self._address = (endpoint.host, endpoint.port)
        self._requests = _requests(endpoint, payloads)
        self._timeout_ns = int(timeout_s * 1e9)
        self._timeout_s = timeout_s
        self._socket: gevent.socket.socket | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._deadline_ns = 0
        self._expired = False
        self._reset()

    def call(self, payload: int) -> bytes:
        self._expired = False
        self._deadline_ns = time.monotonic_ns() + self._timeout_ns
        try:
            sock = self._socket or self._connect()
            sock.sendall(self._requests[payload])
            status, body = self._receive(sock)
        except (TimeoutError, OSError) as error:
            self.close()
            raise self._lost(error) from None
        except CallError:
            self.close()
            raise
        finally:
            self._deadline_ns = 0
        if status != 200:
            raise CallError(f"http-{status}", body[:_TEXT_CHARACTERS].decode(errors="replace").strip())
        return body

    def expire(self, now_ns: int) -> None:
        """A watchdog calls this: a timer on each wait would cost more than the request itself (measured: 25 us)."""
        if 0 < self._deadline_ns < now_ns and self._socket is not None:
            self._expired = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(SHUT_RDWR)  # wakes the greenlet that waits in recv

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # Called by the parser.
    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if 100 <= self._parser.get_status_code() < 200:  # an interim reply: the real one follows
            self._in_body = False
            self._body.clear()
        else:
            self._replies += 1
            self._keep_alive = self._parser.should_keep_alive()  # only known now: the parser forgets the headers after this call

    def _reset(self) -> None:
        self._head = b""
        self._in_body = False
        self._body: list[bytes] = []
        self._replies = 0
        self._keep_alive = False

    def _connect(self) -> gevent.socket.socket:
        self._socket = gevent.socket.create_connection(self._address, timeout=self._timeout_s)
        self._socket.settimeout(None)
        self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._parser = httptools.HttpResponseParser(self)
        return self._socket

    def _receive(self, sock: gevent.socket.socket) -> tuple[int, bytes]:
        self._reset()
        while not self._replies:
            data = sock.recv(_CHUNK_BYTES)
            if not data:
                self._ended()
                break
            if not self._in_body:
                self._head += data
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                start = self._head[:80].decode(errors="replace")
                raise CallError("malformed reply", f"not an HTTP reply ({error}): {start!r}") from None
        if self._replies > 1:
            raise CallError("malformed reply", "more than one reply to one request")
        status: int = self._parser.get_status_code()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if not self._keep_alive:
            self.close()
        return status, body

    def _ended(self) -> None:
        """The server closed: that is the end of a reply that says neither its length nor that it is chunked (RFC 9112, 6.3)."""
        if self._expired:
            raise TimeoutError
        if not self._head:
            raise CallError("connection", "closed before any reply")
        head = self._head.partition(b"\r\n\r\n")[0].lower()
        if not self._in_body or b"\r\ncontent-length:" in head or b"\r\ntransfer-encoding:" in head:
            raise CallError("connection", "closed in the middle of a reply")

    def _lost(self, error: OSError) -> CallError:
        if self._expired or isinstance(error, TimeoutError):
            return CallError("timeout", f"no reply within {self._timeout_s:g} s")
        return CallError("connection", error.strerror or repr(error))


def _requests(endpoint: Endpoint, payloads: Payloads) -> list[bytes]:
    head = f"POST {payloads.path} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in payloads.headers.items())
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body for body in payloads.bodies]
