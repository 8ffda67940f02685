"""A load dealt out to Locust workers. Here they are processes of this host, over loopback; to the master that makes no difference."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
import numpy as np
import psutil
import pytest

from loadtests import cpu_sets, distributed, handover, measure, plan, run, validity
from loadtests.locust.parcels import Parcels
from loadtests.locust.recorder import Recorder
from loadtests.merge import rebased
from serveoff import storage
from serveoff.console import Console
from serveoff.errors import NotReadyError, UsageError
from serveoff.results import Cell, CellJob, LoadPlan, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import ports

if TYPE_CHECKING:
    from .conftest import MakeTarget, ServeModel

LOAD = "closed:users=5,duration_s=1"


def planned(master: str, *profiles: str, **more: Any) -> LoadPlan:
    return plan.make(profiles or [LOAD], warmup_s=0.2, warmup_limit_s=0.4, timeout_s=5, master=master, **{"workers": 2, **more})


@pytest.fixture
def master() -> str:
    return f"127.0.0.1:{ports.take(['master'])['master']}"


@pytest.fixture
def workers(master: str, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two of what a person starts on the hosts that load."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "serveoff", "load-worker", "--master", master],
            env={**os.environ, "SERVEOFF_WORKSPACE": str(tmp_path)},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    yield started
    for one in started:
        one.terminate()
        one.communicate()


@pytest.fixture(autouse=True)
def _whoever_else_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the neighbours do here must not decide these tests, nor repeat them."""
    most = float("inf")
    monkeypatch.setattr(validity, "USUAL", validity.Limits(most, most, most, most, most, 0, most))


def load(workspace: Workspace, chosen: LoadPlan) -> list[Cell]:
    return list(run_result(workspace, chosen).cells)


def run_result(workspace: Workspace, chosen: LoadPlan) -> RunResult:
    directory = run.load_test(Selection(), chosen, workspace, Console(quiet=True), fresh=True)
    return storage.read(directory / "run.json", RunResult)


@pytest.mark.integration
def test_two_workers_are_one_load(
    model_workspace: Workspace, serve_model: ServeModel, master: str, workers: list[subprocess.Popen[str]]
) -> None:
    serve_model("good")
    here = platform.node()
    *_, cell = load(model_workspace, planned(master, workers=f"{here},127.0.0.1"))
    m = cell.measurement
    assert m is not None, cell.reasons
    assert (m.connections, m.load_processes) == (5, 2)
    assert m.worker_hosts == (here, here)
    assert m.windows_within_us is not None
    assert 0 < m.windows_within_us < 1e6
    assert m.surroundings is not None
    assert m.surroundings.other_cpu is not None, "these workers are on this host, and no strangers"
    sets = cpu_sets.divide("auto")
    if isinstance(sets, cpu_sets.Sets):
        assert m.surroundings.client_cores == sets.client, "they leave the server's cores alone"
    (run_json,) = model_workspace.runs.glob("*/run.json")
    folder = (run_json.parent / m.raw).parent
    parts = [storage.read(folder / name / handover.FACTS, handover.Facts) for name in ("1", "2")]
    assert sorted(f.connections for f in parts) == [2, 3]
    with np.load(run_json.parent / m.raw) as raw:
        assert set(raw["user"].tolist()) == {0, 1, 2, 3, 4}
        start, end = raw["window_ns"].tolist()
        assert start == int((folder / handover.WINDOW).read_text())
        in_window = (raw["due_ns"] >= start) & (raw["due_ns"] < end)
        assert m.requests == int(in_window.sum())
        for user in range(5):
            assert int((in_window & (raw["user"] == user)).sum()) > 5, "on one clock now, the windows lie on one another"
    assert m.sampled == 64, "32 of each"
    with (folder / "locust_stats.csv").open() as file:
        assert [int(row["Request Count"]) for row in csv.DictReader(file)] == [m.requests] * 2, "the master's, of both workers' windows"
    assert all(one.poll() is None for one in workers), "ready for the next cell"


@pytest.mark.slow
def test_a_worker_that_is_killed_makes_its_cell_void_and_the_others_are_measured(
    model_workspace: Workspace, serve_model: ServeModel, master: str, workers: list[subprocess.Popen[str]]
) -> None:
    serve_model("good")
    serve_model("slow")
    victim = psutil.Process(workers[0].pid)

    def kill() -> None:
        wait(lambda: any(c.net_connections() and len(connected(c)) > 1 for c in victim.children(recursive=True)))
        time.sleep(0.5)
        for child in victim.children(recursive=True):
            child.kill()

    beside = threading.Thread(target=kill)
    beside.start()
    cells = load(model_workspace, planned(master, "constant:rate_rps=50,duration_s=4,connections=8"))
    beside.join()
    hit = [c for c in cells if any("in the middle of the load" in reason for reason in c.reasons)]
    assert len(hit) == 1, [c.reasons for c in cells]
    assert hit[0].verdict == "INVALID"
    assert hit[0].reasons[0].startswith("the load worker on ")
    assert {c.target.server for c in cells if c.measurement is not None and c.measurement.load_processes == 2} == {"good", "slow"}
    again = [c for c in cells if c.target == hit[0].target and c.attempt == 2]
    assert [c.measurement is not None and c.measurement.connections for c in again] == [8], "by both, of whom one is new"


def connected(process: psutil.Process) -> list[Any]:
    return [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]


def wait(until: Callable[[], bool]) -> None:
    for _ in range(1200):
        try:
            if until():
                return
        except psutil.Error:
            pass
        time.sleep(0.05)
    pytest.fail("it never happened")


@pytest.mark.integration
def test_a_worker_that_never_comes(
    model_workspace: Workspace, serve_model: ServeModel, master: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("good")
    monkeypatch.setattr(distributed, "WORKERS_WAIT_S", 0.5)
    with pytest.raises(NotReadyError, match=r"^0 of 2 load workers came within 0\.5 s$") as caught:
        load(model_workspace, planned(master))
    assert f"serveoff load-worker --master {master}" in caught.value.hint
    with pytest.raises(NotReadyError, match=r"^no load worker came from near, far within 0\.5 s$"):
        load(model_workspace, planned(master, workers="near,far"))


@pytest.mark.slow
def test_what_the_workers_cost_is_measured_where_they_are(
    model_workspace: Workspace, serve_model: ServeModel, master: str, workers: list[subprocess.Popen[str]]
) -> None:
    serve_model("good")
    result = run_result(model_workspace, msgspec.structs.replace(planned(master), calibrate=True))
    assert [skip for skip in result.skips if "own cost" in skip.what] == []
    (found,) = result.calibrations
    assert found.after is not None
    for each in (found.before, found.after):
        assert each.p50_us > 0
        assert each.reachable_rps > 0
    assert result.cells[0].measurement is not None
    assert all(one.poll() is None for one in workers), "ready for the next load test"


def hello(host: str, *addresses: str) -> handover.Hello:
    return handover.Hello(versions="", host=host, boot=host, addresses=addresses)


def test_workers_are_told_apart_by_their_hosts_names() -> None:
    there = {"1": hello("a.lab.example", "10.0.0.1", "127.0.0.1"), "2": hello("b", "10.0.0.2"), "3": hello("B")}
    named = distributed.named
    assert named(["a", "b"], there) == ["1", "2"]
    assert named(["B", "b", "b"], there) == ["2", "3", None], "each worker once"
    assert named(["10.0.0.2", "A.LAB.example"], there) == ["2", "1"]
    assert named(["b.lab.example", "a.home.example", "c"], there) == ["2", None, None]


def test_workers_are_a_number_or_their_hosts() -> None:
    assert (planned("127.0.0.1:1", workers="2").workers, planned("127.0.0.1:1", workers=" a, b ").worker_hosts) == (2, ("a", "b"))
    assert planned("127.0.0.1:1", workers="a,b").workers == 2
    for wrong in ("", "a,", "-1", "a b", "--x"):
        with pytest.raises(UsageError, match="neither a number of workers nor the names of their hosts"):
            planned("127.0.0.1:1", workers=wrong)


def test_only_what_fits_is_planned(make_target: MakeTarget) -> None:
    for master in ("127.0.0.1", "host:", ":5557", "host:port", "host:0", "host:70000"):
        with pytest.raises(UsageError, match="is no address"):
            planned(master)
    with pytest.raises(UsageError, match=r"has 1 connections, 2 workers need one each"):
        planned("127.0.0.1:1", "closed:users=1")
    with pytest.raises(UsageError, match="do not go together"):
        planned("127.0.0.1:1", load_processes=2)
    here = make_target(8501)
    distributed.check(planned("127.0.0.1:5557"), [here])
    distributed.check(planned("localhost:5557"), [here])
    with pytest.raises(UsageError, match=r"listens on 127\.0\.0\.1, where load workers on other hosts cannot reach it"):
        distributed.check(planned("10.0.0.7:5557"), [here])
    with pytest.raises(UsageError, match=r"no\.such\.host\.invalid is not known here"):
        distributed.work("no.such.host.invalid:1", Path("/nowhere"), Console(quiet=True))


def test_a_worker_of_another_version_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_target: MakeTarget
) -> None:
    told = handover.Workers(came=2, refused="the load worker on b has serveoff 9 with Locust 9, here it is serveoff 1 with Locust 1")
    storage.write(tmp_path / handover.WORKERS, told)
    monkeypatch.setattr("serveoff.process.run_child", lambda *_, **__: None)
    job: Any = make_job(planned("127.0.0.1:1"), make_target(1))
    with pytest.raises(NotReadyError, match="the load worker on b has serveoff 9"):
        distributed.run(job, tmp_path, tmp_path)


def make_job(chosen: LoadPlan, target: Any) -> Any:
    return CellJob(target=target, protocol="tfs_rest", profile=chosen.profiles[0], plan=chosen, payloads="../payloads.msgpack")


def test_another_clock_changes_no_duration() -> None:
    recorder, rng = Recorder(), np.random.default_rng(3)
    for due in np.sort(rng.integers(0, 10**9, 500)).tolist():
        recorder.add(due, due + 7, due + 7 + int(rng.integers(1, 10**8)), 0, 0, 1)
    raw = measure.records(recorder.columns())
    facts = handover.Facts(
        start_ns=-50,
        window_start_ns=100,
        window_end_ns=10**9,
        end_ns=10**9 + 5,
        open_loop=True,
        unsent=0,
        connections=1,
        error_classes=(),
        error_texts={},
        cpu=0.1,
    )
    moved, moved_facts = rebased((raw, facts), 9 * 10**17)
    assert (moved_facts.window_start_ns, moved_facts.window_end_ns - moved_facts.window_start_ns) == (9 * 10**17, 10**9 - 100)
    assert measure.measure(moved, moved_facts, "raw") == measure.measure(raw, facts, "raw")


class Line:
    """Two runners that hear each other; what is said is kept."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}
        self.other: Line | None = None
        self.said: list[tuple[str, Any]] = []

    def register_message(self, name: str, listener: Any) -> None:
        self.listeners[name] = listener

    def send_message(self, name: str, data: Any = None, client_id: str | None = None) -> None:
        assert self.other is not None
        self.said.append((name, data))
        message: Any = type("Message", (), {"node_id": client_id, "data": data})
        gevent.spawn(self.other.listeners[name], msg=message, environment=None)


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_large_parcels_come_whole_in_pieces_each_of_them_taken(size: int) -> None:
    master, worker = Line(), Line()
    master.other, worker.other = worker, master
    ends: Any = (master, worker)
    sender, receiver = (Parcels(end) for end in ends)
    data = np.random.default_rng(1).bytes(size)
    sender.send("records", data, "worker-1")
    assert receiver.wait("records", "worker-1") == data
    pieces = [said for name, said in master.said if name == "serveoff-piece"]
    assert max(len(piece["piece"]) for piece in pieces) < 1 << 20, "Locust's heartbeats must find a gap"
    assert len(worker.said) == len(pieces)
