"""The README's commands, as a newcomer gives them, in a workspace of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from serveoff import process, storage
from serveoff.registry import CODE_ROOT
from serveoff.results import Cell, RunResult
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    found = Workspace(tmp_path_factory.mktemp("journey"))
    yield found
    process.end_all(process.owned(found.root), grace_s=0)


def environment(workspace: Workspace) -> dict[str, str]:
    of_make = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")  # what the make that runs the tests was told: make test-slow ARGS=...
    return {**{name: value for name, value in os.environ.items() if name not in of_make}, "SERVEOFF_WORKSPACE": str(workspace.root)}


def make(workspace: Workspace, *targets: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["make", *targets], cwd=CODE_ROOT, env=environment(workspace), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> RunResult:
    printed = make(workspace, "export", "serve", "loadtest")
    (run_dir,) = workspace.runs.iterdir()
    for name in ("report.html", "report.md", "run.json"):
        assert (run_dir / name).stat().st_size > 1000
        assert str(run_dir / name) in printed.stderr, "the last lines say where the report lies"
    assert "tfserving" in printed.stdout, "what was skipped is shown"
    return storage.read(run_dir / "run.json", RunResult)


def rows(run: RunResult) -> dict[tuple[str, str, str, str], Cell]:
    return {(c.target.server, c.manifest.format, c.protocol.rpartition("_")[2], c.profile.name): c for c in run.cells}


def test_every_row_is_there(run: RunResult) -> None:
    served = {("embedded", f) for f in ("savedmodel", "tflite", "torchscript", "onnx")} | {
        ("torchserve", f) for f in ("torchscript", "onnx")
    }
    wanted = {(*s, protocol, profile) for s in served for protocol in ("rest", "grpc") for profile in ("closed", "constant")}
    assert set(rows(run)) == wanted


def test_every_row_was_measured_and_its_answers_were_right(run: RunResult) -> None:
    for key, cell in rows(run).items():
        assert cell.live_check.passed, key
        assert cell.manifest.parity.passed, key
        assert cell.manifest.size_bytes > 100_000, key
        assert cell.payload_bytes > 64, key
        assert cell.measurement is not None, key
        assert cell.measurement.throughput_rps > 0, key
        assert "wrong answer" not in cell.measurement.errors, key
        assert (cell.verdict == "INVALID") == bool(cell.reasons), key


def test_every_row_says_where_its_time_goes_and_what_the_server_used(run: RunResult) -> None:
    assert {(f.artifact_id, f.reason) for f in run.floors} == {(cell.manifest.id, "") for cell in run.cells}
    for key, cell in rows(run).items():
        assert cell.measurement is not None, key
        silent = cell.measurement.server_silent
        assert bool(silent) == (cell.measurement.server is None) == (cell.protocol == "torchserve_grpc"), (key, silent)
        assert cell.measurement.surroundings is not None, key
        used = cell.measurement.surroundings.usage
        assert used is not None, key
        assert min(used.cpu_s, used.memory_mean_bytes, used.threads) > 0, key


def test_the_same_encoding_sends_the_same_bytes(run: RunResult) -> None:
    json = {c.payload_bytes for c in run.cells if c.encoding == "json"}
    assert len(json) == 1, "one JSON body for every server"


def test_tf_serving_is_skipped_with_its_reason(run: RunResult) -> None:
    reasons = [s.reason for s in run.skips if "tfserving" in s.what]
    measured = any(c.target.server == "tfserving" for c in run.cells)
    assert reasons or measured
    assert all("tensorflow_model_server" in r or "container" in r for r in reasons)


def test_kill_9_of_the_load_test_then_stop_leaves_nothing(workspace: Workspace, run: RunResult) -> None:
    assert run.cells
    assert process.owned(workspace.root), "the servers are still up"
    loadtest = subprocess.Popen(
        ["make", "loadtest"], cwd=CODE_ROOT, env=environment(workspace), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: any("locust" in " ".join(_command(p)) for p in process.owned(workspace.root)))
    (command,) = psutil.Process(loadtest.pid).children()
    loadtest.send_signal(signal.SIGKILL)
    loadtest.wait()
    wait_until(command.is_running)
    stopped = make(workspace, "stop")
    assert "serveoff loadtest" in stopped.stdout, "the orphaned command is ended, too"
    wait_until(lambda: not command.is_running() or command.status() == psutil.STATUS_ZOMBIE)
    assert process.owned(workspace.root) == []
    assert "There was nothing to end" in make(workspace, "stop").stdout


def _command(found: psutil.Process) -> list[str]:
    try:
        return found.cmdline()
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it never happened")


def test_the_report_needs_no_network(run: RunResult, workspace: Workspace) -> None:
    (html,) = Path(workspace.runs).glob(f"{run.run_id}/report.html")
    text = html.read_text()
    assert "<script src=" not in text
    assert '<link rel="stylesheet" href=' not in text
