"""`null_server JOB`: answers every request at once with the same bytes, over HTTP/1.1 and over gRPC. What is left is the client's own cost.

Writes one port for each service of the job, in their order; ends when its input does, which is when whoever started it has ended. It trusts
its client: a load process of ours, or one that a benchmark started.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from . import handover
from .locust.http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, header_block

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_LARGEST_FRAME = 1 << 14
_WINDOW = (1 << 31) - 1
_GRANT = 1 << 30


class HttpNull(asyncio.Protocol):
    def __init__(self, body: bytes) -> None:
        self._reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        self._unread = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._unread + data
        while (end := data.find(_END)) >= 0:
            head = data[:end].lower()
            at = head.find(_LENGTH)
            length = 0 if at < 0 else int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
            if len(data) < (whole := end + len(_END) + length):
                break
            data = data[whole:]
            self._transport.write(self._reply)
        self._unread = data


class GrpcNull(asyncio.Protocol):
    """Unary calls only; what the client lets us send ahead is not counted, so replies must fit its first grant."""

    def __init__(self, body: bytes) -> None:
        message = b"\0" + len(body).to_bytes(4, "big") + body
        self._parts = [message[at : at + _LARGEST_FRAME] for at in range(0, len(message), _LARGEST_FRAME)]
        self._head = header_block([(":status", "200"), ("content-type", "application/grpc")])
        self._trailers = header_block([("grpc-status", "0")])
        self._unread = b""
        self._begun = False
        self._taken = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        widest = b"\0\4" + _WINDOW.to_bytes(4, "big")
        transport.write(frame(SETTINGS, 0, 0, widest) + frame(WINDOW_UPDATE, 0, 0, _GRANT.to_bytes(4, "big")))

    def data_received(self, data: bytes) -> None:
        data = self._unread + data
        at, out = 0, b""
        if not self._begun and len(data) >= len(PREFACE):
            self._begun, at = True, len(PREFACE)
        while self._begun and len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            out += self._answer(kind, flags, int.from_bytes(data[at + 5 : at + 9], "big"), data[at + 9 : at + 9 + size])
            at += 9 + size
        self._unread = data[at:]
        if out:
            self._transport.write(out)

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == DATA:
            granted = self._grant(len(payload))
            return granted + self._reply(stream) if flags & END_STREAM else granted
        if kind == SETTINGS and not flags & ACK:
            return frame(SETTINGS, ACK, 0, b"")
        if kind == PING and not flags & ACK:
            return frame(PING, ACK, 0, payload)
        return b""

    def _grant(self, size: int) -> bytes:
        self._taken += size
        if self._taken < _GRANT // 2:
            return b""
        taken, self._taken = self._taken, 0
        return frame(WINDOW_UPDATE, 0, 0, taken.to_bytes(4, "big"))

    def _reply(self, stream: int) -> bytes:
        data = b"".join(frame(DATA, 0, stream, part) for part in self._parts)
        return frame(HEADERS, END_HEADERS, stream, self._head) + data + frame(HEADERS, END_HEADERS | END_STREAM, stream, self._trailers)


async def _serve(services: tuple[handover.NullService, ...], host: str) -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for service in services:
        make: Callable[[], asyncio.Protocol] = partial(HttpNull if service.transport == "http" else GrpcNull, service.reply)
        server = await loop.create_server(make, host, 0, backlog=512)
        ports.append(server.sockets[0].getsockname()[1])
    sys.stdout.write(" ".join(map(str, ports)) + "\n")
    sys.stdout.flush()
    await loop.create_future()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    job = handover.unpack(Path(sys.argv[1]), handover.NullJob)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(job.services, job.host))
    else:
        uvloop.run(_serve(job.services, job.host))


if __name__ == "__main__":
    main()
