"""Stand-in servers, and load processes on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import pytest

from loadtests import child, handover, measure
from loadtests.handover import Facts, Payloads
from loadtests.measure import Records
from loadtests.profiles import complete, resolve
from serveoff import host, process, reference, storage
from serveoff.contract import Manifest, Parity, ParityCheck, Skip, Skips, TensorSpec, Tolerance
from serveoff.launch import Endpoint, Target
from serveoff.results import CellJob, ClientKind, LoadPlan, ProfileChoice
from serveoff.workspace import Workspace

from .http_stand_in import HttpStandIn

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("alone")


BODIES = tuple(b'{"instances": [[%d.0]]}' % number for number in range(64))


@pytest.fixture
def http_stand_in() -> Iterator[HttpStandIn]:
    server = HttpStandIn()
    yield server
    server.close()


@dataclass
class GrpcStandIn:
    """A gRPC server for any method of bytes: `/x/Echo` answers the request, `/x/<STATUS>` fails with that status."""

    port: int
    peers: set[str] = field(default_factory=set)


@pytest.fixture
def grpc_stand_in() -> Iterator[GrpcStandIn]:
    import grpc

    state = GrpcStandIn(0)

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            method = details.method.rpartition("/")[2]

            def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
                state.peers.add(context.peer())
                if method != "Echo":
                    context.abort(grpc.StatusCode[method], "the stand-in says no")
                return request

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(8), handlers=(Handler(),))
    state.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield state
    server.stop(0).wait()


def target(port: int, protocol: str = "tfs_rest", target_id: str = "m.pytorch.onnx.float32@stand_in.process") -> Target:
    return Target(
        id=target_id,
        server="stand_in",
        launcher="process",
        artifact_id="m.pytorch.onnx.float32",
        artifact_path="/nowhere",
        endpoints=(Endpoint(protocol=protocol, host="127.0.0.1", port=port, model_name="m"),),
        threads=1,
        log="/nowhere/log.txt",
        command=(),
        started_at="2026-01-01T00:00:00+00:00",
        ready_s=0.1,
    )


MakeTarget = Callable[..., Target]


@pytest.fixture
def make_target() -> MakeTarget:
    return target


@dataclass(frozen=True)
class Loaded:
    """What a load process left."""

    directory: Path
    facts: Facts
    records: Records
    log: str


Load = Callable[..., Loaded]


@pytest.fixture
def run_load(tmp_path: Path) -> Load:
    """Run a real Locust process with one job on a stand-in."""

    def run(
        port: int,
        profile: ProfileChoice,
        *,
        path: str = "/ok",
        grpc: bool = False,
        timeout_s: float = 5,
        env: dict[str, str] | None = None,
        client: ClientKind = "raw",
    ) -> Loaded:
        directory = tmp_path / "job"
        directory.mkdir()
        profile = complete(profile)
        bodies = Payloads(transport="grpc" if grpc else "http", path=path, headers={"Content-Type": "application/json"}, bodies=BODIES)
        handover.pack(directory / "payloads.msgpack", bodies)
        plan = LoadPlan(profiles=(profile,), warmup_s=0.2, timeout_s=timeout_s, seed=1, client=client)
        job = CellJob(target=target(port), protocol="tfs_rest", profile=profile, plan=plan, payloads="payloads.msgpack")
        storage.write(directory / handover.JOB, job)
        users = str(resolve(profile).connections)
        ended = process.run_child(
            child.command("locustfile.py", "--headless", "--only-summary", "--users", users, "--spawn-rate", users),
            env={**child.environment(tmp_path, directory / handover.JOB), **(env or {})},
            log=directory / "locust.log",
            timeout_s=60,
            cwd=directory,
        )
        assert ended.ok, ended.tail
        return Loaded(
            directory=directory,
            facts=storage.read(directory / handover.FACTS, Facts),
            records=measure.records(handover.unpack(directory / handover.RECORDS, handover.Columns)),
            log=(directory / "locust.log").read_text(),
        )

    return run


Mode = Literal["good", "wrong", "wrong_later", "dies", "fails", "slow"]
ServeModel = Callable[[Mode], "subprocess.Popen[str]"]


@pytest.fixture
def model_workspace(tmp_path: Path) -> Workspace:
    """With one exported artifact: y = [sum(x), x[0]] of four float32 values."""
    directory = tmp_path / "artifacts" / "sums.pytorch.onnx.float32"
    inputs = np.random.default_rng(5).normal(size=(100, 4)).astype(np.float32)
    outputs = np.stack([inputs.sum(axis=1), inputs[:, 0]], axis=1)
    reference.save(
        directory / "reference.npz", reference.Reference(inputs={"x": inputs}, outputs={"y": outputs}, labels=np.zeros(100, np.int64))
    )
    check = ParityCheck(case="samples", output="y", batch=100, max_abs=0, max_rel=0, passed=True)
    manifest = Manifest(
        model="sums",
        framework="pytorch",
        format="onnx",
        precision="float32",
        serve_file="model.onnx",
        files=(),
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 4)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 2)),),
        options={},
        parity=Parity(tolerance=Tolerance(atol=1e-4, rtol=1e-4, source="test"), checks=(check,)),
        weights_sha256="0",
        size_bytes=1,
        export_s=1,
        peak_memory_bytes=1,
        command=(),
        created_at="2026-01-01T00:00:00+00:00",
        host=host.facts(),
    )
    storage.write(directory / "manifest.json", manifest)
    storage.write(tmp_path / "targets" / "skips.json", Skips(skips=(Skip(stage="serving", what="tfserving", reason="no image"),)))
    return Workspace(tmp_path)


@pytest.fixture
def serve_model(model_workspace: Workspace) -> Iterator[ServeModel]:
    """Start a stand-in model server and put it on record as a running target."""
    started: list[subprocess.Popen[str]] = []

    def start(mode: Mode) -> subprocess.Popen[str]:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("stand_in_model.py")), mode], stdout=subprocess.PIPE, text=True
        )
        started.append(server)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        target_id = f"sums.pytorch.onnx.float32@{mode}.process"
        target = Target(
            id=target_id,
            server=mode,
            launcher="process",
            artifact_id="sums.pytorch.onnx.float32",
            artifact_path=str(model_workspace.artifacts / "sums.pytorch.onnx.float32"),
            endpoints=(Endpoint(protocol="tfs_rest", host="127.0.0.1", port=port, model_name="sums"),),
            threads=1,
            pid=server.pid,
            pid_started_at=psutil.Process(server.pid).create_time(),
            log=str(model_workspace.targets / target_id / "log.txt"),
            command=(),
            started_at="2026-01-01T00:00:00+00:00",
            ready_s=0.1,
        )
        storage.write(model_workspace.targets / target_id / "target.json", target)
        served = storage.read(model_workspace.artifacts / target.artifact_id / "manifest.json", Manifest)
        storage.write(model_workspace.targets / target_id / "manifest.json", served)
        return server

    yield start
    for server in started:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
