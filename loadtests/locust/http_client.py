"""HTTP/1.1 over one keep-alive gevent socket with requests made beforehand. Replies are parsed by llhttp (httptools).

Nothing is sent twice and no redirect is followed: what the server does to the first attempt is the measurement.
"""

from __future__ import annotations

import httptools

from serveoff.launch import Endpoint

from ..handover import Payloads
from . import clock
from .calls import CallError
from .sockets import BrokenReplyError, Line, SocketClient

_TEXT_CHARACTERS = 300


class HttpClient(SocketClient):
    def __init__(self, endpoint: Endpoint, payloads: Payloads, timeout_s: float) -> None:
        super().__init__(endpoint, timeout_s)
        self._requests = payloads.http(endpoint)
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _exchange(self, line: Line, payload: int) -> bytes:
        request = self._requests[payload]
        self.sent_ns = self.sent_ns or clock.now_ns()
        line.send(request)
        status, body = self._receive(line)
        if status != 200:
            raise CallError(f"http-{status}", body[:_TEXT_CHARACTERS].decode(errors="replace").strip())
        return body

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

    def _connect(self) -> Line:
        self._parser = httptools.HttpResponseParser(self)
        return super()._connect()

    def _receive(self, line: Line) -> tuple[int, bytes]:
        self._reset()
        while not self._replies:
            data = line.receive()
            if not data:
                self._end()
                break
            if not self._in_body:
                self._head += data
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                start = self._head[:80].decode(errors="replace")
                raise BrokenReplyError("malformed reply", f"not an HTTP reply ({error}): {start!r}") from None
        self.received_ns = line.received_ns
        if self._replies > 1:
            raise BrokenReplyError("malformed reply", "more than one reply to one request")
        status: int = self._parser.get_status_code()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if not self._keep_alive:
            self.close()
        return status, body

    def _end(self) -> None:
        """The server closed: that is the end of a reply that says neither its length nor that it is chunked (RFC 9112, 6.3)."""
        head = self._head.partition(b"\r\n\r\n")[0].lower()
        if self._expired or not self._in_body or b"\r\ncontent-length:" in head or b"\r\ntransfer-encoding:" in head:
            raise self._ended(begun=bool(head))
