"""What the clients have in common: one keep-alive socket that gevent waits for, and a time limit for each call on it."""

from __future__ import annotations

import contextlib
from array import array
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY

import gevent.socket
from gevent import get_hub
from gevent.monkey import get_original

from serveoff.launch import Endpoint

from . import clock
from .calls import CallError

CHUNK_BYTES = 1 << 16
_READ, _WRITE = 1, 2
"""libev's EV_READ and EV_WRITE."""


class BrokenReplyError(CallError):
    """After this the connection is of no use: the next call makes a new one."""


class Line:
    """A connected socket: the standard library's own, in C.

    gevent's runs Python around each call, which the processor has forgotten between two replies; it asks the kernel for the size of its
    buffer before it sends, and for a reply before there can be one. `received_ns`: when the last bytes were here.
    """

    def __init__(self, connected: gevent.socket.socket) -> None:
        self._socket = get_original("socket", "socket")(fileno=connected.detach())
        self._socket.setblocking(False)
        self._hub = get_hub()
        self._readable = self._hub.loop.io(self._socket.fileno(), _READ)
        self.received_ns = 0

    def send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def receive(self) -> bytes:
        """What has come; nothing where the other side has closed."""
        while True:
            self._hub.wait(self._readable)
            try:
                data: bytes = self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:  # the kernel woke us for nothing
                continue
            self.received_ns = clock.now_ns()
            return data

    def shut(self) -> None:
        """Wake the greenlet that waits in `receive`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(SHUT_RDWR)

    def close(self) -> None:
        self._readable.close()
        self._socket.close()

    def _send_rest(self, rest: memoryview) -> None:
        writable = self._hub.loop.io(self._socket.fileno(), _WRITE)
        try:
            while rest:
                self._hub.wait(writable)
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._socket.send(rest) :]
        finally:
            writable.close()


class SocketClient:
    """Connects when it is first called, and after each failure of its connection.

    Latency is the server's and the kernel's: Python's way to the socket and from it takes a tenth of a millisecond when the processor has
    slept meanwhile. `sent_ns`: just before the request went to the kernel, or before it had to connect; `received_ns`: just after the last
    of its reply came from there.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._address = (endpoint.host, endpoint.port)
        self._timeout_ns = int(timeout_s * 1e9)
        self._timeout_s = timeout_s
        self._line: Line | None = None
        self._deadline_ns = 0
        self._expired = False
        self.sent_ns = self.received_ns = 0
        self.opened_ns = array("q")

    @property
    def connected(self) -> bool:
        return self._line is not None

    def call(self, payload: int) -> bytes:
        self._expired = False
        now_ns = clock.now_ns()
        self._deadline_ns = now_ns + self._timeout_ns
        self.sent_ns = 0 if self._line else now_ns
        try:
            return self._exchange(self._line or self._connect(), payload)
        except OSError as error:
            self.close()
            raise self._lost(error) from None
        except BrokenReplyError:
            self.close()
            raise
        finally:
            self._deadline_ns = 0

    def expire(self, now_ns: int) -> None:
        """A watchdog calls this: a timer on each wait would cost more than the request itself (measured: 25 us)."""
        if 0 < self._deadline_ns < now_ns and self._line is not None:
            self._expired = True
            self._line.shut()

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _exchange(self, line: Line, payload: int) -> bytes:
        """Send this payload, at `sent_ns` where that is not set yet, and return the reply, `received_ns`. Raises CallError, or what the
        socket raises."""
        raise NotImplementedError

    def _connect(self) -> Line:
        sock = gevent.socket.create_connection(self._address, timeout=self._timeout_s)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._line = Line(sock)
        self.opened_ns.append(clock.now_ns())
        return self._line

    def _ended(self, *, begun: bool) -> OSError | BrokenReplyError:
        """Why the other side has nothing more to say. `begun`: some of the reply has come."""
        if self._expired:
            return TimeoutError()
        return BrokenReplyError("connection", "closed in the middle of a reply" if begun else "closed before any reply")

    def _lost(self, error: OSError) -> CallError:
        if self._expired or isinstance(error, TimeoutError):
            return CallError("timeout", f"no reply within {self._timeout_s:g} s")
        return CallError("connection", error.strerror or repr(error))
