"""`python -m bench.fixed_server`: a model server whose work is fixed. TF Serving's row form; the model is y = [sum(x), x[0]].

Writes its port. `--work cpu` computes `--units` rounds of a hash for each request, `wait` sleeps `--ms`, both one request at a time;
`timer` answers each request after `--ms`, however many there are. `--stall-at N` makes the N-th request stop everything for `--stall-s`.
It keeps every different request it has seen: GET /seen returns them as they came, with their number; GET /reset forgets them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import selectors
import socket
import sys
import time
from collections import Counter
from typing import Any

BLOCK = bytes(1 << 14)
"""What one unit of work hashes."""
_MOST_KEPT = 1000


class Work:
    """What is done for each request, and what has been seen."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.seen: Counter[bytes] = Counter()
        self._requests = 0

    @property
    def delay_s(self) -> float:
        return float(self._options.ms) / 1000 if self._options.work == "timer" else 0.0

    def do(self) -> None:
        if self._options.work == "cpu":
            burn(self._options.units)
        elif self._options.work == "wait":
            time.sleep(self._options.ms / 1000)

    def see(self, request: bytes) -> None:
        if request in self.seen or len(self.seen) < _MOST_KEPT:
            self.seen[request] += 1
        self._requests += 1
        if self._requests == self._options.stall_at:
            time.sleep(self._options.stall_s)

    def reset(self) -> None:
        self.seen.clear()
        self._requests = 0


def burn(units: int) -> None:
    """A fixed amount of work: the same instructions each time."""
    for _ in range(units):
        hashlib.blake2b(BLOCK).digest()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; a client that waits for each reply is all it knows."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            length = _length(head)
            if len(rest) < length:
                return
            request, self._buffer = head + end + rest[:length], rest[length:]
            self._answer(request, head, rest[:length])

    def _answer(self, request: bytes, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /seen"):
            seen = [{"request": base64.b64encode(raw).decode(), "times": times} for raw, times in self._work.seen.items()]
            self._send(json.dumps(seen).encode())
        elif head.startswith(b"GET /reset"):
            self._work.reset()
            self._send(b"{}")
        else:
            self._work.see(request)
            self._work.do()
            reply = json.dumps({"predictions": [_model(row) for row in json.loads(body)["instances"]]}).encode()
            if self._work.delay_s:
                asyncio.get_running_loop().call_later(self._work.delay_s, self._send, reply)
            else:
                self._send(reply)

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)


def _model(row: list[Any]) -> list[float]:
    """Zeros for an input of more dimensions: then somebody only wants to know what is sent."""
    return [sum(row), row[0]] if row and not isinstance(row[0], list) else [0.0, 0.0]


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _serve(work: Work) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(work), "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fixed_server")
    parser.add_argument("--work", choices=("cpu", "wait", "timer"), required=True)
    parser.add_argument("--ms", type=float, default=0.0)
    parser.add_argument("--units", type=int, default=0)
    parser.add_argument("--stall-at", type=int, default=0)
    parser.add_argument("--stall-s", type=float, default=0.0)
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_serve(Work(parser.parse_args())))


def _loop() -> asyncio.AbstractEventLoop:
    """epoll counts in whole milliseconds: 5 ms would be 5 to 6, by how the load's rhythm falls. select() counts in microseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    main()
