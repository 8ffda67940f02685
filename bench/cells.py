"""What is measured, cell by cell: a server under one load, or a model in process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from bench.figures import Client, Sample, read_client, read_h2load_log
from bench.machine import Watch, pinned
from bench.payloads import PREDICT_RPC
from bench.servers import LOCALHOST, Running
from serveoff.errors import GateError, MissingToolError

_POST = str(Path(__file__).with_name("post.lua"))
_WARM_UP_S = 1
_SLACK_S = 120.0


class Cell(Protocol):
    @property
    def name(self) -> str: ...

    def measure(self, seconds: int) -> Sample: ...


@dataclass(frozen=True, slots=True)
class Rest:
    """wrk, one thread, `connections` connections."""

    name: str
    server: Running
    path: str
    body: Path
    connections: int
    core: int

    def measure(self, seconds: int) -> Sample:
        url = f"http://{LOCALHOST}:{self.server.rest_port}{self.path}"

        def load(duration_s: int) -> Client:
            argv = ["wrk", "-t1", f"-c{self.connections}", f"-d{duration_s}s", "--timeout", "10s", "-s", _POST, url, "--", str(self.body)]
            return read_client(_output(pinned(self.core, argv), duration_s))

        with awake(self.server):
            load(_WARM_UP_S)
            return _watched(self.server.process, self.name, lambda: load(seconds))


@dataclass(frozen=True, slots=True)
class Grpc:
    """Our own client, one call at a time."""

    name: str
    server: Running
    body: Path
    core: int

    def measure(self, seconds: int) -> Sample:
        address = f"{LOCALHOST}:{self.server.grpc_port}"
        argv = [sys.executable, "-P", "-m", "bench.grpc_client", address, PREDICT_RPC, str(self.body), str(seconds)]
        with awake(self.server):
            return _watched(self.server.process, self.name, lambda: read_client(_output(pinned(self.core, argv), seconds)))


@dataclass(frozen=True, slots=True)
class GrpcH2load:
    """h2load, one call at a time on each of `connections` connections: what the server takes without a Python client's share.

    It sees HTTP's status only, not gRPC's: the answer is checked before the load.
    """

    name: str
    server: Running
    body: Path
    connections: int
    core: int
    log: Path

    def measure(self, seconds: int) -> Sample:
        url = f"http://{LOCALHOST}:{self.server.grpc_port}{PREDICT_RPC}"
        headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")

        def load(duration_s: int) -> Client:
            self.log.unlink(missing_ok=True)  # h2load appends
            argv = ["h2load", "-t1", f"-c{self.connections}", "-m1", f"-D{duration_s}", "-d", str(self.body), *headers]
            _output(pinned(self.core, [*argv, f"--log-file={self.log}", url]), duration_s)
            return read_h2load_log(self.log.read_text())

        with awake(self.server):
            load(_WARM_UP_S)
            return _watched(self.server.process, self.name, lambda: load(seconds))


class InProcess:
    """A child that holds the model and measures it when told to."""

    def __init__(self, name: str, version_dir: Path, inputs: Path, core: int, log: Path) -> None:
        self.name = name
        self._log = log
        argv = [sys.executable, "-P", "-m", "bench.in_process", "run", str(version_dir), str(inputs), "1"]
        with log.open("wb") as sink:
            self._child = subprocess.Popen(pinned(core, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, text=True)
        self._line()

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise GateError(f"{self.name} ended with exit code {self._child.wait()}: {self._log.read_text(errors='replace')[-800:]}")
        return line

    def measure(self, seconds: int) -> Sample:
        def ask() -> Client:
            assert self._child.stdin is not None
            self._child.stdin.write(f"{seconds}\n")
            self._child.stdin.flush()
            return read_client(self._line())

        return _watched(psutil.Process(self._child.pid), self.name, ask)

    def stop(self) -> None:
        self._child.kill()
        with self._child:
            pass


@contextlib.contextmanager
def awake(server: Running) -> Iterator[None]:
    server.wake()
    try:
        yield
    finally:
        server.pause()


class _Load(Protocol):
    def __call__(self) -> Client: ...


def _watched(server: psutil.Process, name: str, load: _Load) -> Sample:
    watch = Watch(server)
    client = load()
    server_s, foreign = watch.stop()
    if not client.requests or client.refused or client.broken:
        raise GateError(f"{name}: of {client.requests} requests {client.refused} were refused and {client.broken} connections failed")
    return Sample(
        requests=client.requests,
        seconds=client.seconds,
        p50_us=client.p50_us,
        p99_us=client.p99_us,
        server_cpu_us=server_s / client.requests * 1e6,
        foreign_cores=foreign,
    )


def _output(argv: list[str], seconds: int) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + _SLACK_S, check=False)
    except FileNotFoundError as error:
        raise MissingToolError(
            f"{error.filename} is not on PATH", hint="Debian has it: apt-get install wrk nghttp2-client util-linux"
        ) from None
    if done.returncode:
        raise GateError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout
