"""The second witnesses: who is asked to repeat which row, and what the run says of it."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from loadtests import plan, run, validity
from loadtests.handover import Payloads
from loadtests.profiles import complete
from loadtests.witnesses import Row, h2load, perf_analyzer
from serveoff import storage
from serveoff.console import Console
from serveoff.contract import Manifest, Parity, TensorSpec
from serveoff.errors import ServeoffError
from serveoff.launch import Endpoint
from serveoff.results import Cell, ProfileChoice, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import MakeTarget, ServeModel

MOST = float("inf")
CLOSED = "closed:users=2,duration_s=0.6"

PROGRAM = """#!{python}
import json, pathlib, sys
at = {{option: sys.argv[sys.argv.index(option) + 1] for option in ("-f", "--input-data")}}
pathlib.Path({said!r}).write_text(json.dumps([sys.argv[1:], json.load(open(at["--input-data"]))]))
print("Timer not set correctly.", file=sys.stderr)
if {fails}:
    sys.exit("error: failed to get model metadata")
pathlib.Path(at["-f"]).write_text(
    "Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency\\n"
    "2,4614.41,1,0,405,546,616,1290\\n"
)
"""
"""Writes what perf_analyzer 2.51 wrote of the embedded server over gRPC."""


def load(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, *profiles: str) -> RunResult:
    monkeypatch.setattr(validity, "USUAL", validity.Limits(MOST, MOST, MOST, MOST, MOST, 0, MOST))
    chosen = plan.make(profiles, warmup_s=0.1, warmup_limit_s=0.1)
    directory = run.load_test(Selection(), msgspec.structs.replace(chosen, witness=True), workspace, Console(quiet=True))
    return storage.read(directory / "run.json", RunResult)


def reasons(result: RunResult) -> dict[str, str]:
    return {s.what.removeprefix("the second witness, "): s.reason for s in result.skips if s.what.startswith("the second witness")}


@pytest.mark.integration
@pytest.mark.skipif(not (shutil.which("wrk") and shutil.which("h2load")), reason="apt-get install wrk nghttp2-client")
def test_wrk_and_h2load_repeat_a_row_each(model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_model("good")
    result = load(model_workspace, monkeypatch, CLOSED, "constant:rate_rps=40,connections=2,duration_s=1")
    measured = {c.profile.name: c.measurement for c in result.cells if c.verdict == "VALID"}
    assert result.witness is not None
    found = {one.tool: one for one in result.witness}
    assert set(found) == {"wrk", "h2load"}, result.skips
    for tool, profile in (("wrk", "closed"), ("h2load", "constant")):
        one, ours = found[tool], measured[profile]
        assert ours is not None
        assert (one.target_id, one.protocol, one.profile.name, one.connections) == (result.cells[0].target.id, "tfs_rest", profile, 2)
        assert one.ours_rps == ours.throughput_rps
        assert one.throughput_rps > 0
        assert one.p99_us >= one.p50_us > 0
    assert found["h2load"].throughput_rps == pytest.approx(40, abs=2), "it is asked for that rate"


@pytest.mark.integration
def test_what_is_not_installed_is_a_skip_with_what_installs_it(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("good")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    result = load(model_workspace, monkeypatch, CLOSED)
    assert result.witness == ()
    said = reasons(result)
    assert said["wrk"] == "wrk is not installed; apt-get install wrk"
    assert said["h2load"] == "h2load is not installed; apt-get install nghttp2-client"
    assert "tritonclient" in said["perf_analyzer"]


@pytest.mark.integration
def test_no_row_that_could_be_repeated_is_a_skip(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("fails")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: sys.executable)
    result = load(model_workspace, monkeypatch, CLOSED)
    assert reasons(result) == {
        "wrk": "no row is VALID that it could repeat: REST, a closed loop",
        "h2load": "no row is VALID that it could repeat: REST at a constant rate, but not TorchServe's",
        "perf_analyzer": "no row is VALID that it could repeat: TF Serving's gRPC or TorchServe's REST, a closed loop",
    }


@pytest.mark.parametrize("rate", [5.0, 40.0, 200.0, 400.0, 5000.0])
@pytest.mark.parametrize("connections", [1, 5, 8, 32])
def test_h2loads_connections_are_spread_over_a_turn(rate: float, connections: int) -> None:
    step_ms = h2load._step_ms(rate, connections)
    assert step_ms >= 100
    turn_ms, apart_ms = 1000 * connections / rate, 1000 / rate
    starts = sorted(number * step_ms % turn_ms for number in range(connections))
    gaps_ms = np.diff([*starts, starts[0] + turn_ms])
    no_whole_ms_fits = (rate, connections) in {(400, 8), (400, 32), (5000, 5)}
    assert gaps_ms == pytest.approx(apart_ms, abs=connections / 2 if no_whole_ms_fits else 1e-6)


def row(workspace: Workspace, make_target: MakeTarget, protocol: str, work: Path) -> Row:
    artifact = workspace.artifacts / "sums.pytorch.onnx.float32"
    manifest = storage.read(artifact / "manifest.json", Manifest)
    target = msgspec.structs.replace(
        make_target(1),
        artifact_path=str(artifact),
        endpoints=(Endpoint(protocol=protocol, host="127.0.0.1", port=8500, model_name="sums"),),
    )
    cell = Cell(
        target=target,
        manifest=manifest,
        protocol=protocol,
        encoding="binary",
        profile=complete(ProfileChoice(name="closed", options={"users": 2, "duration_s": 6})),
        payload_bytes=1,
        reply_bytes=1,
        live_check=Parity(tolerance=manifest.parity.tolerance, checks=()),
        measurement=None,
        verdict="VALID",
        reasons=(),
    )
    work.mkdir()
    return Row(cell, Payloads(transport="grpc", path="/", headers={}, bodies=(b'{"instances": [1]}', b'{"instances": [2]}')), work)


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, *, fails: bool = False) -> Path:
    """A perf_analyzer that says what it was told, and reports what a real one did."""
    folder.mkdir()
    program, said = folder / "perf_analyzer", folder / "said.json"
    program.write_text(PROGRAM.format(python=sys.executable, said=str(said), fails=fails))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return said


@pytest.mark.parametrize(("protocol", "kind", "transport"), [("tfs_grpc", "tfserving", "grpc"), ("torchserve_rest", "torchserve", "http")])
def test_perf_analyzer_gets_our_samples_and_its_report_is_read(
    protocol: str,
    kind: str,
    transport: str,
    model_workspace: Workspace,
    make_target: MakeTarget,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = row(model_workspace, make_target, protocol, tmp_path / "work")
    said = install(monkeypatch, tmp_path / "bin")
    assert perf_analyzer.WITNESS.fits(asked.cell)
    seen = perf_analyzer.WITNESS.repeat(asked)
    assert (seen.rps, seen.p50_us, seen.p99_us) == (4614.41, 405, 1290)
    assert seen.connections == (1 if kind == "tfserving" else 2)
    options, data = json.loads(said.read_text())
    at = dict(pairwise(options))
    assert (at["-m"], at["--service-kind"], at["-i"], at["-u"]) == ("sums", kind, transport, "127.0.0.1:8500")
    assert (at["--concurrency-range"], at["-p"], at["-r"]) == ("2:2", "2000", "3"), "three windows make up the row's"
    if kind == "torchserve":
        assert [Path(each["TORCHSERVE_INPUT"][0]).read_bytes() for each in data["data"]] == list(asked.payloads.bodies)
        return
    inputs = np.load(model_workspace.artifacts / "sums.pytorch.onnx.float32" / "reference.npz")["input:x"]
    for number, each in enumerate(data["data"]):
        assert each["x"]["shape"] == [4]
        assert base64.b64decode(each["x"]["content"]["b64"]) == inputs[number].tobytes()


def test_a_perf_analyzer_that_fails_says_why(
    model_workspace: Workspace, make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = row(model_workspace, make_target, "tfs_grpc", tmp_path / "work")
    install(monkeypatch, tmp_path / "bin", fails=True)
    with pytest.raises(ServeoffError, match=r"(?s)perf_analyzer ended with 1: .*failed to get model metadata"):
        perf_analyzer.WITNESS.repeat(asked)
    (tmp_path / "empty.csv").write_text("Concurrency,Inferences/Second\n")
    with pytest.raises(ServeoffError, match="left no report that can be read"):
        perf_analyzer.read(tmp_path / "empty.csv", 1, 1)


def test_perf_analyzer_is_asked_for_what_it_can_send(model_workspace: Workspace, make_target: MakeTarget, tmp_path: Path) -> None:
    cell = row(model_workspace, make_target, "tfs_grpc", tmp_path / "work").cell
    texts = msgspec.structs.replace(cell.manifest, inputs=(TensorSpec(name="x", dtype="string", shape=(None,)),))
    fixed = msgspec.structs.replace(cell.manifest, fixed_batch=4)
    for other in (
        msgspec.structs.replace(cell, manifest=texts),
        msgspec.structs.replace(cell, manifest=fixed),
        msgspec.structs.replace(cell, protocol="tfs_rest"),
        msgspec.structs.replace(cell, profile=complete(ProfileChoice(name="constant"))),
    ):
        assert not perf_analyzer.WITNESS.fits(other)
