"""What the clients have in common: one keep-alive gevent socket, and a time limit for each call on it."""

from __future__ import annotations

import contextlib
import time
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY

import gevent.socket

from serveoff.contract import Endpoint

from .calls import CallError

CHUNK_BYTES = 1 << 16


class BrokenReplyError(CallError):
    """After this the connection is of no use: the next call makes a new one."""


class SocketClient:
    """Connects when it is first called, and after each failure of its connection."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._address = (endpoint.host, endpoint.port)
        self._timeout_ns = int(timeout_s * 1e9)
        self._timeout_s = timeout_s
        self._socket: gevent.socket.socket | None = None
        self._deadline_ns = 0
        self._expired = False

    def call(self, payload: int) -> bytes:
        self._expired = False
        self._deadline_ns = time.monotonic_ns() + self._timeout_ns
        try:
            return self._exchange(self._socket or self._connect(), payload)
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
        if 0 < self._deadline_ns < now_ns and self._socket is not None:
            self._expired = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(SHUT_RDWR)  # wakes the greenlet that waits in recv

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, sock: gevent.socket.socket, payload: int) -> bytes:
        """Send this payload and return the reply. Raises CallError, or what the socket raises."""
        raise NotImplementedError

    def _connect(self) -> gevent.socket.socket:
        self._socket = gevent.socket.create_connection(self._address, timeout=self._timeout_s)
        self._socket.settimeout(None)
        self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return self._socket

    def _ended(self, *, begun: bool) -> OSError | BrokenReplyError:
        """Why the other side has nothing more to say. `begun`: some of the reply has come."""
        if self._expired:
            return TimeoutError()
        return BrokenReplyError("connection", "closed in the middle of a reply" if begun else "closed before any reply")

    def _lost(self, error: OSError) -> CallError:
        if self._expired or isinstance(error, TimeoutError):
            return CallError("timeout", f"no reply within {self._timeout_s:g} s")
        return CallError("connection", error.strerror or repr(error))
