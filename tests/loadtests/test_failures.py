"""Things that go wrong in the middle of a load test: each ends void with its true reason, and the others are measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
import pytest

from loadtests import plan, resume, run
from loadtests.handover import JOB_VARIABLE
from serveoff import storage
from serveoff.console import Console
from serveoff.results import Cell, LoadPlan, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = pytest.mark.slow

CALM = "constant:rate_rps=50,duration_s=5,connections=8"


@pytest.fixture(autouse=True)
def _room_for_every_void_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the neighbours are busy the others are void, too, and would use up what may be repeated."""
    monkeypatch.setattr("loadtests.rounds.REPEATED_SHARE", 2)


def made(profile: str = CALM, *, load_processes: int = 1, strict: bool = False) -> LoadPlan:
    return plan.make([profile], warmup_s=0.2, warmup_limit_s=0.5, timeout_s=5, load_processes=load_processes, strict=strict)


def load_process(server: str) -> psutil.Process:
    """The load process of this target, once it is connected to it."""
    for _ in range(600):
        for one in psutil.Process().children(recursive=True):
            try:
                if f"@{server}.process." in one.environ().get(JOB_VARIABLE, "") and one.net_connections():
                    return one
            except psutil.Error:
                continue
        time.sleep(0.05)
    raise AssertionError(f"nobody loads {server}")


def load(workspace: Workspace, chosen: LoadPlan, harm: Callable[[], None]) -> list[Cell]:
    """A whole load test, while `harm` runs beside it. Its cells, which are all there."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            harm()
        except BaseException as error:  # an exception in a thread would only be printed
            failures.append(error)

    beside = threading.Thread(target=guarded)
    beside.start()
    directory = run.load_test(Selection(), chosen, workspace, Console(quiet=True))
    beside.join()
    assert failures == []
    return list(storage.read(directory / resume.RESULT, RunResult).cells)


def first(cells: list[Cell], server: str) -> Cell:
    return next(cell for cell in cells if cell.target.server == server)


def test_a_server_that_is_killed(model_workspace: Workspace, serve_model: ServeModel) -> None:
    good, _ = serve_model("good"), serve_model("slow")

    def kill() -> None:
        load_process("good")
        good.kill()

    cells = load(model_workspace, made(), kill)
    hit, other = first(cells, "good"), first(cells, "slow")
    assert hit.reasons[0].startswith("the target died under load: "), hit.reasons
    assert [c.target.server for c in cells].count("good") == 1, "a dead target is not measured again"
    assert other.measurement is not None
    assert other.measurement.requests == 250


@pytest.mark.parametrize("load_processes", [1, 2])
def test_a_load_process_that_is_killed(model_workspace: Workspace, serve_model: ServeModel, load_processes: int) -> None:
    serve_model("good")
    serve_model("slow")
    cells = load(model_workspace, made(load_processes=load_processes), lambda: load_process("good").kill())
    hit = first(cells, "good")
    assert hit.verdict == "INVALID"
    assert any(reason.startswith("the load process ended with exit code -9") for reason in hit.reasons), hit.reasons
    again = [c for c in cells if c.target.server == "good" and c.attempt == 2]
    assert len(again) == 1, "the target was not to blame: it is measured again"
    assert not any("load process ended" in reason for reason in again[0].reasons)
    assert all(cell.measurement is not None for cell in (again[0], first(cells, "slow")))


def test_a_client_that_is_frozen(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    serve_model("slow")

    def freeze() -> None:
        client = load_process("good")
        time.sleep(1.5)
        client.send_signal(signal.SIGSTOP)
        time.sleep(2)
        client.send_signal(signal.SIGCONT)

    cells = load(model_workspace, made(), freeze)
    hit = first(cells, "good")
    assert hit.verdict == "INVALID"
    assert any(reason.startswith("the client reacted 1,") and "it was held up" in reason for reason in hit.reasons), hit.reasons
    again = next(c for c in cells if c.target.server == "good" and c.attempt == 2)
    assert not any("client reacted 1," in reason for reason in again.reasons)
    assert first(cells, "slow").measurement is not None


def test_cores_burned_beside_it(model_workspace: Workspace, serve_model: ServeModel) -> None:
    for server in ("good", "slow"):
        serve_model(server)
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        cells = load(model_workspace, made("closed:users=4,duration_s=1", strict=True), lambda: None)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    attempts = sorted((cell.target.server, cell.attempt) for cell in cells)
    assert attempts == [(server, attempt) for server in ("good", "slow") for attempt in (1, 2, 3)], "every attempt is kept"
    for cell in cells:
        assert any(reason.startswith("other processes used") for reason in cell.reasons), cell.reasons
        assert cell.measurement is not None
        assert cell.measurement.surroundings is not None
        assert (cell.measurement.surroundings.other_cpu or 0) > 0.3


def test_a_capacity_is_found_on_a_real_server(model_workspace: Workspace, serve_model: ServeModel) -> None:
    """It takes 50 ms a request, and there are two connections: 40 requests/s at most."""
    serve_model("slow")
    (cell,) = load(model_workspace, made("capacity:slo_ms=400,start_rps=16,connections=2,duration_s=1,percentile=50"), lambda: None)
    assert cell.probes[0].profile.options["rate_rps"] == 16
    assert len({probe.measurement.raw for probe in cell.probes if probe.measurement}) == len(cell.probes), (
        "each probe has records of its own"
    )
    if cell.verdict == "INVALID":  # a machine that is too busy: that, and nothing else, is the reason
        void = [probe.profile.options["rate_rps"] for probe in cell.probes if probe.kept is None]
        assert any(cell.reasons[0].startswith(f"at {rate:g} requests/s ") for rate in void)
        return
    assert cell.capacity_rps is not None
    assert 10 <= cell.capacity_rps <= 45
    assert any(probe.kept is False for probe in cell.probes)
