"""Starts the embedded server as a process of its own and talks to it over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NUMPY_SERVER = HERE / "numpy_server.py"
START_S = 60.0

Reply = tuple[int, dict[str, str], bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A running server. `log` is what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    rest_port: int
    grpc_port: int
    log: Path
    _channel: Any = field(default=None)

    def http(self, verb: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=60)
        try:
            connection.request(verb, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
        finally:
            connection.close()

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """POST to /v1/models/PATH; the reply's JSON (NaN and infinities allowed)."""
        status, _, data = self.http("POST", f"/v1/models/{path}", body)
        return status, json.loads(data)

    def get(self, path: str) -> tuple[int, Any]:
        status, _, data = self.http("GET", f"/v1/models/{path}")
        return status, json.loads(data)

    def call(self, method: str, request: bytes, timeout_s: float | None = 30) -> bytes:
        """A unary call with bytes in and out; `method` without the package. Raises grpc.RpcError."""
        if self._channel is None:
            options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options)
        reply: bytes = self._channel.unary_unary(f"/tensorflow.serving.{method}")(request, timeout=timeout_s)
        return reply

    def versions(self, model: str) -> dict[str, str]:
        """Version -> state."""
        status, reply = self.get(model)
        return {row["version"]: row["state"] for row in reply["model_version_status"]} if status == 200 else {}

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self._channel is not None:
            self._channel.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def eventually(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Ask until the answer is true; the answer. Fails the test when it never is."""
    end = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer or time.monotonic() > end:
            assert answer, f"not true within {timeout_s} s"
            return answer
        time.sleep(0.05)


def launch(log: Path, *flags: str, program: Path | None = NUMPY_SERVER, env: Mapping[str, str] | None = None) -> Server:
    """Start the server and return at once. `program` None means the real one, without the numpy runtime."""
    rest_port, grpc_port = free_port(), free_port()
    start = [sys.executable, "-P", *([str(program)] if program else ["-m", "serving.embedded"])]
    ports = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--tensorflow_session_parallelism=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", **(env or {})}
    with log.open("wb") as out:
        process = subprocess.Popen([*start, *ports, *flags], cwd=ROOT, stderr=out, stdout=out, env=environment)
    return Server(process, rest_port, grpc_port, log)


def open_ports(server: Server) -> Server:
    """Wait until the server listens. Fails the test, with the log, when it ends instead."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", server.rest_port)) == 0:
                return server
        time.sleep(0.05)
    server.process.kill()
    raise AssertionError(f"the server did not start (exit {server.process.wait()}):\n{server.log.read_text()}")


def write_model(base: Path, model: str, version: int | str = 1) -> Path:
    """A numpy model in `base/version`, put there by one rename."""
    base.mkdir(parents=True, exist_ok=True)
    half_written = base / f"tmp-{version}"
    half_written.mkdir()
    (half_written / "model.numpy").write_text(model)
    return half_written.rename(base / str(version))


def config_text(models: Mapping[str, Path], extra: Mapping[str, str] | None = None) -> str:
    """A ModelServerConfig; `extra` adds text to a model's entry."""
    rows = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {(extra or {}).get(name, "")} }}'
        for name, path in models.items()
    ]
    return "model_config_list { " + " ".join(rows) + " }"


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers that end with the test: `start(*flags, wait=True, program=..., env=...)`."""
    running: list[Server] = []

    def begin(*flags: str, wait: bool = True, **how: Any) -> Server:
        server = launch(tmp_path / f"server-{len(running)}.log", *flags, **how)
        running.append(server)
        return open_ports(server) if wait else server

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def models() -> list[str]:
    return ["half", "two", "texts", "mixed", "types", "outputs", "errors", "slow", "counts", "examples"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, models: list[str]) -> Iterator[Server]:
    """One server for every test that changes nothing: each numpy model under its name, `half` in versions 5 and 7 with labels."""
    base = tmp_path_factory.mktemp("models")
    for name in models:
        write_model(base / name, name, 7 if name == "half" else 1)
    write_model(base / "half", "third", "0000005")
    write_model(base / "with space", "half")
    named = {name: base / name for name in [*models, "with space"]}
    half = "model_version_policy { all {} } version_labels { key: 'stable' value: 7 } version_labels { key: 'old one' value: 5 }"
    config = base / "models.config"
    config.write_text(config_text(named, {"half": half}))
    server = launch(base / "log", f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models")
    open_ports(server)
    yield server
    code = server.stop()
    assert code == 0, server.log.read_text()


class Kit:
    """What tests that start their own servers need (test modules cannot import from here)."""

    write_model = staticmethod(write_model)
    config_text = staticmethod(config_text)
    eventually = staticmethod(eventually)
    free_port = staticmethod(free_port)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
