"""Good and bad requests over REST and gRPC, each with the answer it must get, while the server's resident memory is watched.

`python -m bench.mixed_load PID REST_PORT GRPC_PORT REQUESTS SETTLED SEED ROWS_FILE GRPC_FILE`; the last line is a `bench.memory.Growth`.
"""

from __future__ import annotations

import collections
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import msgspec
import psutil

from bench.machine import resident_bytes
from bench.memory import Growth
from serveoff.wire import tfs_pb2

REST_THREADS, GRPC_THREADS = 4, 2
_PREDICT = "/v1/models/digits:predict"
_SERVICE = "/tensorflow.serving.PredictionService/"


@dataclass
class Tally:
    """Shared by all threads."""

    wanted: int
    done: int = 0
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    unexpected: collections.Counter[str] = field(default_factory=collections.Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def more(self) -> bool:
        return self.done < self.wanted

    def count(self, kind: str, expected: str, got: str) -> None:
        with self.lock:
            self.done += 1
            self.kinds[kind] += 1
            if got != expected:
                self.unexpected[f"{kind}: {got}"] += 1


def _post(path: str, body: bytes, headers: str = "", verb: str = "POST") -> bytes:
    return f"{verb} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rest_kinds(rows: bytes) -> list[tuple[str, str, Callable[[random.Random], bytes]]]:
    """(name, expected status, the whole request). Names made up anew each time show what is kept for ever by name."""
    document = json.loads(rows)
    instances = document["instances"]
    batch = json.dumps({"instances": instances * 5}).encode()
    column = json.dumps({"inputs": instances}).encode()
    named = json.dumps({**document, "signature_name": "nothing"}).encode()
    small = json.dumps({"instances": [[[1.0, 2.0], [3.0, 4.0]]]}).encode()
    text = json.dumps({"instances": ["text"]}).encode()
    ragged = json.dumps({"instances": [*instances, [1.0]]}).encode()

    def always(request: bytes) -> Callable[[random.Random], bytes]:
        return lambda _order: request

    return [
        ("rows", "200", always(_post(_PREDICT, rows))),
        ("rows of five", "200", always(_post(_PREDICT, batch))),
        ("columns", "200", always(_post(_PREDICT, column))),
        ("status", "200", always(_post("/v1/models/digits", b"", verb="GET"))),
        ("metadata", "200", always(_post("/v1/models/digits/metadata", b"", verb="GET"))),
        ("no document", "400", always(_post(_PREDICT, b""))),
        ("half a document", "400", lambda order: _post(_PREDICT, rows[: order.randrange(1, len(rows) - 2)])),
        ("noise", "400", lambda order: _post(_PREDICT, b"\xff" + order.randbytes(64))),
        ("deep", "400", always(_post(_PREDICT, b"[" * 2000))),
        ("wrong key", "400", always(_post(_PREDICT, b'{"rows": [1]}'))),
        ("text for numbers", "400", always(_post(_PREDICT, text))),
        ("ragged", "400", always(_post(_PREDICT, ragged))),
        ("wrong shape", "400", always(_post(_PREDICT, small))),
        ("wrong signature", "400", always(_post(_PREDICT, named))),
        ("not gzip", "400", always(_post(_PREDICT, rows, "Content-Encoding: gzip\r\n"))),
        ("unknown model", "404", lambda order: _post(f"/v1/models/m{order.getrandbits(40)}:predict", rows)),
        ("unknown version", "404", lambda order: _post(f"/v1/models/digits/versions/{order.getrandbits(40)}:predict", rows)),
        ("unknown label", "400", lambda order: _post(f"/v1/models/digits/labels/l{order.getrandbits(40)}:predict", rows)),
        ("malformed path", "400", lambda order: _post(f"/v1/models/digits:predict?{order.getrandbits(40)}", rows)),
        ("elsewhere", "404", lambda order: _post(f"/{order.getrandbits(40)}", rows)),
    ]


def grpc_kinds(good: bytes) -> list[tuple[str, str, str, Callable[[random.Random], bytes]]]:
    """(name, expected code, method, request)."""

    def changed(change: Callable[[tfs_pb2.PredictRequest, random.Random], None]) -> Callable[[random.Random], bytes]:
        def make(order: random.Random) -> bytes:
            request = tfs_pb2.PredictRequest.FromString(good)
            change(request, order)
            return bytes(request.SerializeToString())

        return make

    def unknown_model(request: tfs_pb2.PredictRequest, order: random.Random) -> None:
        request.model_spec.name = f"m{order.getrandbits(40)}"

    def unknown_signature(request: tfs_pb2.PredictRequest, order: random.Random) -> None:
        request.model_spec.signature_name = f"s{order.getrandbits(40)}"

    def half_a_tensor(request: tfs_pb2.PredictRequest, _order: random.Random) -> None:
        request.inputs["image"].tensor_content = request.inputs["image"].tensor_content[:7]

    def wrong_type(request: tfs_pb2.PredictRequest, _order: random.Random) -> None:
        request.inputs["image"].dtype = tfs_pb2.DT_INT32

    def no_input(request: tfs_pb2.PredictRequest, _order: random.Random) -> None:
        request.inputs.clear()

    def unknown_output(request: tfs_pb2.PredictRequest, order: random.Random) -> None:
        request.output_filter.append(f"o{order.getrandbits(40)}")

    predict = _SERVICE + "Predict"
    return [
        ("gRPC", "OK", predict, lambda _order: good),
        ("gRPC unknown model", "NOT_FOUND", predict, changed(unknown_model)),
        ("gRPC unknown signature", "FAILED_PRECONDITION", predict, changed(unknown_signature)),
        ("gRPC half a tensor", "INVALID_ARGUMENT", predict, changed(half_a_tensor)),
        ("gRPC wrong type", "INVALID_ARGUMENT", predict, changed(wrong_type)),
        ("gRPC no input", "INVALID_ARGUMENT", predict, changed(no_input)),
        ("gRPC unknown output", "INVALID_ARGUMENT", predict, changed(unknown_output)),
        ("gRPC noise", "INTERNAL", predict, lambda order: b"\xff" + order.randbytes(64)),
        ("gRPC unknown method", "UNIMPLEMENTED", _SERVICE + "Nothing", lambda _order: good),
    ]


class Connection:
    """A raw keep-alive connection: a Python HTTP client costs more than the server under test."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, request: bytes) -> str:
        """The reply's status; a connection that the server has closed meanwhile is opened again once."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(request)
            return self._read(self._socket)
        except OSError as error:
            self.close()
            return type(error).__name__

    def _read(self, connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        lower = head.lower()
        missing = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0]) - len(body)
        while missing > 0:
            missing -= len(self._receive(connection))
        if b"connection: close" in lower:
            self.close()
        return head.split(b" ", 2)[1].decode()

    def _receive(self, connection: socket.socket) -> bytes:
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionResetError
        return data

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def break_off(self, request: bytes) -> None:
        """Send a part of a request and leave."""
        self.close()
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
            connection.sendall(request[: len(request) // 2])


def rest_thread(port: int, rows: bytes, tally: Tally, order: random.Random) -> None:
    kinds, connection = rest_kinds(rows), Connection(port)
    while tally.more():
        if order.random() < 0.01:
            connection.break_off(kinds[0][2](order))
            tally.count("broken off", "", "")
            continue
        name, expected, make = kinds[0] if order.random() < 0.3 else order.choice(kinds)
        tally.count(name, expected, connection.send(make(order)))
    connection.close()


def grpc_thread(port: int, good: bytes, tally: Tally, order: random.Random) -> None:
    kinds = grpc_kinds(good)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = {method: channel.unary_unary(method) for _, _, method, _ in kinds}
        while tally.more():
            name, expected, method, make = kinds[0] if order.random() < 0.3 else order.choice(kinds)
            try:
                calls[method](make(order), timeout=60)
                got = "OK"
            except grpc.RpcError as error:
                got = error.code().name
            tally.count(name, expected, got)


def main() -> None:
    pid, rest_port, grpc_port, wanted, settled, seed = map(int, sys.argv[1:7])
    rows, good = (Path(file).read_bytes() for file in sys.argv[7:])
    server, tally, started = psutil.Process(pid), Tally(wanted), time.monotonic()
    work = [(rest_thread, rest_port, rows)] * REST_THREADS + [(grpc_thread, grpc_port, good)] * GRPC_THREADS
    threads = [
        threading.Thread(target=target, args=(port, body, tally, random.Random(seed * 100 + number)), daemon=True)
        for number, (target, port, body) in enumerate(work)
    ]
    for thread in threads:
        thread.start()
    settled_bytes = peak_bytes = 0
    next_word = step = max(1, wanted // 20)
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        resident, done = resident_bytes(server), tally.done
        peak_bytes = max(peak_bytes, resident)
        if not settled_bytes and done >= settled:
            settled_bytes = resident
        if done >= next_word:
            next_word += step
            print(f"{done:,} requests, {resident / 1e6:.1f} MB resident", flush=True)
    growth = Growth(
        settled=settled,
        requests=tally.done,
        settled_bytes=settled_bytes,
        last_bytes=resident_bytes(server),
        peak_bytes=peak_bytes,
        seconds=time.monotonic() - started,
        kinds=dict(tally.kinds),
        unexpected=dict(tally.unexpected),
    )
    print(msgspec.json.encode(growth).decode())


if __name__ == "__main__":
    main()
