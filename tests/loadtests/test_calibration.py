"""The null server, the client's cost on it, and what follows from that. No figure is asserted: only that it was measured, and on what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from loadtests import calibration, handover, plan, run
from loadtests.handover import NullJob, NullService, Payloads
from loadtests.locust.calls import Client, client_for
from serveoff import process, storage
from serveoff.console import Console
from serveoff.errors import ServeoffError
from serveoff.launch import Endpoint
from serveoff.results import ClientCost, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = pytest.mark.integration

REPLIES = (b'{"predictions": [[0.5]]}', b"\x0a\x03abc", bytes(200_000))
BODIES = (b"x" * 300, b"", b"y" * 3_000_000)


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[list[int]]:
    services = [NullService(transport="http" if number == 0 else "grpc", reply=reply) for number, reply in enumerate(REPLIES)]
    job = tmp_path / "null.msgpack"
    handover.pack(job, NullJob(services=tuple(services)))
    with calibration.null_server(job, process.environment(tmp_path), tmp_path / "null.log") as found:
        yield found


def client(port: int, *, grpc: bool = False) -> Client:
    endpoint = Endpoint(protocol="tfs_grpc" if grpc else "tfs_rest", host="127.0.0.1", port=port, model_name="m")
    return client_for(endpoint, Payloads(transport="grpc" if grpc else "http", path="/any", headers={}, bodies=BODIES), 30)


def test_it_answers_every_request_with_its_reply_whatever_the_sizes(ports: list[int]) -> None:
    for number, port in enumerate(ports):
        subject = client(port, grpc=number > 0)
        for payload in (0, 1, 2, 0, 2):
            assert subject.call(payload) == REPLIES[number]
        subject.close()


def test_any_grpc_client_can_use_it(ports: list[int]) -> None:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        call = channel.unary_unary("/any/Method")
        assert {call(body, timeout=30) for _ in range(300) for body in BODIES[:2]} == {REPLIES[1]}


def test_a_load_test_says_what_its_client_costs(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    chosen = plan.make(["constant:rate_rps=100,duration_s=0.5"], warmup_s=0.1, warmup_limit_s=0.1)
    directory = run.load_test(Selection(), msgspec.structs.replace(chosen, calibrate=True), model_workspace, Console(quiet=True))
    result = storage.read(directory / "run.json", RunResult)
    (found,) = result.calibrations
    cell = result.cells[0]
    assert found.protocol == "tfs_rest"
    assert found.payload_bytes == pytest.approx(cell.payload_bytes, abs=8)
    assert found.reply_bytes == pytest.approx(cell.reply_bytes, abs=8)
    assert found.after is not None
    for cost in (found.before, found.after):
        assert cost.p50_us > 0
        assert cost.reachable_rps > 0
        assert cost.requests > 10


def test_a_rate_near_what_the_client_can_send_is_void() -> None:
    cost = ClientCost(p50_us=50, reachable_rps=10_000, requests=1)
    assert calibration.too_fast(8_000, 1, cost) == []
    assert calibration.too_fast(16_000, 2, cost) == []
    assert calibration.too_fast(None, 1, cost) == [], "a closed loop asks for no rate"
    assert calibration.too_fast(9_000, 1, None) == []
    (reason,) = calibration.too_fast(9_000, 1, cost)
    assert reason.startswith("9,000 requests/s is 90% of what the client can send (10,000/s)")


def test_a_search_beyond_what_the_client_can_send_is_void_and_no_fault_of_the_targets(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("good")
    monkeypatch.setattr(calibration.Calibrator, "cost", lambda *_: ClientCost(p50_us=50, reachable_rps=50, requests=1))
    chosen = plan.make(["capacity:start_rps=100,duration_s=0.5,percentile=50"], warmup_s=0.1, warmup_limit_s=0.1)
    directory = run.load_test(Selection(), chosen, model_workspace, Console(quiet=True))
    (cell,) = storage.read(directory / "run.json", RunResult).cells
    (probe,) = cell.probes
    assert (probe.kept, cell.capacity_rps, cell.verdict) == (None, None, "INVALID")
    assert any("it is the client that is measured" in reason for reason in cell.reasons)


def test_a_client_that_cannot_be_calibrated_is_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(calibration.Calibrator):
        def _measure(self, place: Path) -> tuple[ClientCost, ...]:
            raise ServeoffError("no port is free", hint="look")

    subject = calibration.Subject(None, tmp_path, 1, b"")  # type: ignore[arg-type]  # it is not looked at
    calibrator = Broken([subject], plan.make(), calibration.Place(tmp_path, tmp_path))
    calibrator.before()
    calibrator.after()
    assert calibrator.results == ()
    assert [(s.what, s.reason) for s in calibrator.skips] == [("the client's own cost, before the load", "no port is free; look")]
    assert calibrator.cost("tfs_rest") is None
