"""An HTTP/2 server without a library: it takes requests apart only as far as it must, and answers with the frames that it is given."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from hpack import Encoder

from loadtests.locust.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
)

HELLO = frame(SETTINGS, 0, 0, b"")


def block(*headers: tuple[str, str]) -> bytes:
    encoded: bytes = Encoder().encode([(name, value, True) for name, value in headers])
    return encoded


def message(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4, "big") + body


HEAD = block((":status", "200"), ("content-type", "application/grpc"))
OK = block(("grpc-status", "0"))


def answer(stream: int, body: bytes = b"yes") -> bytes:
    return (
        frame(HEADERS, END_HEADERS, stream, HEAD)
        + frame(DATA, 0, stream, message(body))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, OK)
    )


Script = Callable[[int], bytes]
"""The frames to answer a stream with; `HANG_UP` at their end closes the connection, `SLOWLY` before them sends byte by byte."""
HANG_UP, SLOWLY = b"<hang up>", b"<slowly>"


class Http2StandIn:
    """`frames` are (kind, flags, stream, payload) of everything that came, per connection."""

    def __init__(self, script: Script, *, hello: bytes = HELLO, early: bool = False) -> None:
        self._script, self._hello, self._early = script, hello, early
        self.frames: list[list[tuple[int, int, int, bytes]]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            seen: list[tuple[int, int, int, bytes]] = []
            self.frames.append(seen)
            threading.Thread(target=self._serve, args=(connection, seen), daemon=True).start()

    def _serve(self, connection: socket.socket, seen: list[tuple[int, int, int, bytes]]) -> None:
        stream = connection.makefile("rb")
        try:
            assert stream.read(len(PREFACE)) == PREFACE
            connection.sendall(self._hello)
            while head := stream.read(9):
                kind, flags, number = head[3], head[4], int.from_bytes(head[5:], "big")
                seen.append((kind, flags, number, stream.read(int.from_bytes(head[:3], "big"))))
                if kind == SETTINGS and not flags & ACK:
                    connection.sendall(frame(SETTINGS, ACK, 0, b""))
                if (kind == DATA and flags & END_STREAM) or (kind == HEADERS and self._early):
                    self._send(connection, self._script(number))
        except OSError:
            return
        finally:
            stream.close()

    def _send(self, connection: socket.socket, data: bytes) -> None:
        ends, slow = data.endswith(HANG_UP), data.startswith(SLOWLY)
        data = data.removesuffix(HANG_UP).removeprefix(SLOWLY)
        for part in [bytes([byte]) for byte in data] if slow else [data]:
            connection.sendall(part)
            time.sleep(0.0005 if slow else 0)
        if ends:
            connection.shutdown(socket.SHUT_RDWR)
