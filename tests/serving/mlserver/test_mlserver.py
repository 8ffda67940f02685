"""MLServer: what is written for it and why it cannot run; then, in the slow suite, the real one, from `serve` to the report."""

from __future__ import annotations

import http.client
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import msgspec
import numpy as np
import psutil
import pytest

from serveoff import livecheck, reference, storage
from serveoff.console import Console
from serveoff.errors import MissingToolError, NotReadyError
from serveoff.launch import Endpoint, Mount, Readiness, Target
from serveoff.plugins import Artifact
from serveoff.registry import PROTOCOLS, SERVERS
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import serve, targets

SERVER = SERVERS.load("mlserver")
MLSERVER = Selection(servers=("mlserver",))
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that could be the program, named as the user would."""
    path = tmp_path / "mlserver"
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SERVEOFF_MLSERVER", str(path))
    return path


def test_it_serves_only_where_it_is_named() -> None:
    assert SERVER.formats == ("onnx",)
    assert not SERVER.default


def test_why_it_cannot_run(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SERVER.unavailable("host") is None
    assert SERVER.unavailable("image") == "it is a process only: the official image has no ONNX Runtime"
    monkeypatch.setenv("SERVEOFF_MLSERVER", "/nowhere/mlserver")
    assert SERVER.unavailable("host") == "/nowhere/mlserver (SERVEOFF_MLSERVER) is no program that can be run: correct the path"
    monkeypatch.delenv("SERVEOFF_MLSERVER")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    own = tmp_path / "venv" / "mlserver"
    reason = f"there is no mlserver in {own}, nor on PATH: `make mlserver`, or name its program in SERVEOFF_MLSERVER"
    assert SERVER.unavailable("host") == reason
    monkeypatch.setenv("PATH", str(tmp_path))
    assert SERVER.unavailable("host") is None
    (own / "bin").mkdir(parents=True)
    program.rename(own / "bin" / "mlserver")
    assert SERVER.unavailable("host") is None


def test_without_a_program_there_is_no_launch_spec(doubling: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEOFF_MLSERVER", "/nowhere/mlserver")
    with pytest.raises(MissingToolError, match="there is no mlserver"):
        SERVER.launch_spec(doubling, "host", tmp_path, threads=1)


def test_what_is_run_and_what_is_written(program: Path, doubling: Artifact, tmp_path: Path) -> None:
    spec = SERVER.launch_spec(doubling, "host", tmp_path, threads=2)
    assert (spec.module, spec.binary, spec.image) == (None, str(program), None)
    assert spec.argv == ("start", "{mount.repository}")
    assert spec.protocols == {"oip_rest": "rest", "oip_grpc": "grpc"}
    assert spec.mounts == {"repository": Mount(host_path=str(tmp_path / "repository"), container_path="/mnt/models")}
    assert spec.env == {
        "MLSERVER_HOST": "{host}",
        "MLSERVER_HTTP_PORT": "{port.rest}",
        "MLSERVER_GRPC_PORT": "{port.grpc}",
        "MLSERVER_METRICS_PORT": "{port.metrics}",
        "MLSERVER_METRICS_DIR": "{work}/metrics",
        "OMP_NUM_THREADS": "2",
    }
    assert spec.readiness == Readiness(port="rest", path="/v2/models/doubler/ready")
    repository = tmp_path / "repository"
    settings = json.loads((repository / "settings.json").read_text())
    assert settings == {"debug": False, "parallel_workers": 1, "grpc_max_message_length": 2**29}
    assert json.loads((repository / "doubler" / "model-settings.json").read_text()) == {
        "name": "doubler",
        "implementation": "mlserver_runtime.OnnxModel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
        "parameters": {"uri": str(doubling.version_dir / "model.onnx"), "extra": {"threads": 2}},
    }
    assert "class OnnxModel(MLModel)" in (repository / "doubler" / "mlserver_runtime.py").read_text()


@pytest.fixture
def running(environment: Path, every_dtype: Artifact, workspace: Workspace) -> Iterator[Target]:
    """`serve` has compared its answers, of every dtype, over REST and gRPC."""
    outcomes, skips = serve.serve(MLSERVER, workspace, Console(quiet=True), threads=1)
    serve.verdict(outcomes, skips)
    (outcome,) = outcomes
    assert outcome.target is not None
    yield outcome.target
    targets.stop(workspace, Selection())


def door(target: Target, protocol: str) -> Endpoint:
    return next(endpoint for endpoint in target.endpoints if endpoint.protocol == protocol)


@pytest.mark.slow
@pytest.mark.integration
def test_every_dtype_over_both_protocols_and_what_is_refused(running: Target, every_dtype: Artifact, workspace: Workspace) -> None:
    known = reference.load(every_dtype.reference_file)
    rest, rpc = door(running, "oip_rest"), door(running, "oip_grpc")
    for endpoint in (rest, rpc):
        assert livecheck.check(running, every_dtype, endpoint.protocol, (1, 5, known.rows)).passed
    _refusals(every_dtype, rest, rpc)
    tree = [p for p in psutil.process_iter() if p.pid == running.pid or running.pid in [q.pid for q in p.parents()]]
    listening = {c.laddr.ip for p in tree for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    targets.stop(workspace, Selection())
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in tree)


def _refusals(every: Artifact, rest: Endpoint, rpc: Endpoint) -> None:
    """Bad requests are the client's fault, over both protocols, and say why."""
    manifest, known = every.manifest, reference.load(every.reference_file)
    inputs, _ = known.slice(0, 2)
    less = msgspec.structs.replace(manifest, inputs=manifest.inputs[1:])
    nobody = [msgspec.structs.replace(endpoint, model_name="nobody") for endpoint in (rest, rpc)]
    for endpoint in (rest, rpc):
        wire = PROTOCOLS.load(endpoint.protocol)
        with pytest.raises(NotReadyError, match=rf"answered (400|INVALID_ARGUMENT) over {endpoint.protocol}: .*{manifest.inputs[0].name}"):
            livecheck.call(wire, endpoint, wire.encode(less, endpoint, inputs), 10)
    for endpoint in nobody:
        wire = PROTOCOLS.load(endpoint.protocol)
        with pytest.raises(NotReadyError, match=r"answered (404|NOT_FOUND) over .*Model nobody (with version  )?not found"):
            livecheck.call(wire, endpoint, wire.encode(manifest, endpoint, inputs), 10)
    wire = PROTOCOLS.load("oip_rest")
    for body, status, meaning in ((b"{", 422, "client's fault"), (b"{}", 422, "client's fault")):
        connection = http.client.HTTPConnection(rest.host, rest.port, timeout=10)
        connection.request("POST", wire.path(rest), body, dict(wire.headers(body)))
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        assert (response.status, wire.meaning(str(response.status), text)) == (status, meaning)
    with grpc.insecure_channel(f"{rpc.host}:{rpc.port}") as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(PROTOCOLS.load("oip_grpc").path(rpc))(b"\xff\xff", timeout=10)
    assert error.value.code() == grpc.StatusCode.UNKNOWN  # bytes that are no message at all


@pytest.mark.slow
@pytest.mark.integration
def test_from_serve_to_the_report(environment: Path, doubling: Artifact, workspace: Workspace, serveoff: Command) -> None:
    del environment
    done = serveoff("serve", "--server", "mlserver", "--threads", "1", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    done = serveoff("loadtest", "--profile", "closed:users=2,duration_s=1", "--no-calibrate", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = workspace.runs.glob("*/run.json")
    cells = storage.read(path, RunResult).cells
    rows = {(cell.target.server, cell.protocol, cell.encoding) for cell in cells}  # a void round is repeated
    assert rows == {("mlserver", "oip_grpc", "binary"), ("mlserver", "oip_rest", "json")}
    for cell in cells:
        assert cell.measurement is not None
        assert cell.measurement.throughput_rps > 0
        assert cell.measurement.errors == {}
        assert cell.measurement.sampled > 0
        assert not cell.wrong
        assert cell.measurement.server is not None, "its metrics page tells the time inside it"
        assert 0 < cell.measurement.server.total_us < np.inf
    report = (path.parent / "report.md").read_text()
    assert "mlserver" in report
    assert "oip_rest" in report
