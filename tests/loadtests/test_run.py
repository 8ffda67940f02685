"""Whole load tests, with real Locust processes, on stand-in model servers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from rich.console import Console as RichConsole

from loadtests import candidates, plan, resume, run, validity
from loadtests.measure import percentiles_us
from serveoff import storage
from serveoff.console import Bar, Console
from serveoff.contract import Skip
from serveoff.errors import InputError, NotReadyError
from serveoff.results import Cell, LoadPlan, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import MakeTarget, Mode, ServeModel

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _whoever_else_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about targets: what the neighbours do here must not decide them (tests/loadtests/test_failures.py is about that)."""
    most = float("inf")
    monkeypatch.setattr(validity, "USUAL", validity.Limits(most, most, most, most, most, 0, most))


SHORT = plan.make(["closed:users=4,duration_s=0.6"], warmup_s=0.2, warmup_limit_s=0.2, timeout_s=5)


def load(workspace: Workspace, chosen: LoadPlan = SHORT, selection: Selection | None = None) -> tuple[Path, RunResult]:
    directory = run.load_test(selection or Selection(), chosen, workspace, Console(quiet=True))
    return directory, storage.read(directory / "run.json", RunResult)


def cell_of(result: RunResult, server: str) -> Cell:
    """The last attempt: a busy machine may make the first ones void."""
    return [c for c in result.cells if c.target.server == server][-1]


def test_good_and_bad_targets_in_one_run(model_workspace: Workspace, serve_model: ServeModel) -> None:
    """One dies, one answers wrongly from the start, one later, one fails: each has its reason; the good one has its numbers."""
    modes: tuple[Mode, ...] = ("good", "wrong", "wrong_later", "dies", "fails")
    for mode in modes:
        serve_model(mode)
    directory, result = load(model_workspace)
    assert {c.target.server: c.verdict for c in result.cells} == {  # the last attempts
        "good": "VALID",
        "wrong": "INVALID",
        "wrong_later": "INVALID",
        "dies": "INVALID",
        "fails": "INVALID",
    }, [c.reasons for c in result.cells]
    assert result.skips == (Skip(stage="serving", what="tfserving", reason="no image"),)
    assert result.plan == SHORT

    good = cell_of(result, "good")
    assert good.reasons == ()
    assert good.measurement is not None
    assert good.measurement.requests > 20
    assert good.measurement.connections == 4
    assert good.measurement.cut_s[0] >= 0.2
    assert percentiles_us(good.measurement.latency_hdr, [50])[50] > 0
    assert good.live_check.passed
    assert {c.batch for c in good.live_check.checks} == {1, 3, 8}
    assert good.payload_bytes > 40
    assert good.reply_bytes > 20
    assert good.encoding == "json"
    with np.load(directory / good.measurement.raw) as raw:
        assert len(raw["due_ns"]) >= good.measurement.requests
    cell_files = {p.name for p in (directory / good.measurement.raw).parent.iterdir()}
    kept = {"job.json", "facts.json", "answers.msgpack", "records.npz", "locust.log", "locust_stats.csv", "locust_failures.csv"}
    assert kept <= cell_files

    wrong = cell_of(result, "wrong")
    assert wrong.measurement is None, "a wrong answer is not loaded"
    assert wrong.reasons[0].startswith("wrong answer before the load: live, 1 row, output y: 1 of 2 values differ")
    assert not wrong.live_check.passed

    later = cell_of(result, "wrong_later")
    assert later.reasons[0].startswith("wrong answer under load: payload ")
    assert later.measurement is not None
    assert later.measurement.errors["wrong answer"] > 0

    assert later.measurement.sampled == 32
    assert {c.target.server for c in result.cells if c.wrong} == {"wrong", "wrong_later"}

    died = cell_of(result, "dies")
    assert died.reasons[0].startswith("the target died under load: ")
    assert died.measurement is not None
    assert set(died.measurement.errors) <= {"connection lost", "refused"}

    failed = cell_of(result, "fails")
    assert failed.measurement is not None
    assert set(failed.measurement.errors) == {"overload"}
    assert any('): overload, first http-503: {"error": "overloaded"}' in reason for reason in failed.reasons)


def test_every_profile_of_the_plan_gets_a_cell_and_the_rate_must_be_delivered(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("slow")
    profiles = ["constant:rate_rps=20,duration_s=1.5,connections=16", "constant:rate_rps=400,duration_s=0.6,connections=2"]
    _, result = load(model_workspace, plan.make(profiles, warmup_s=0.2, warmup_limit_s=1, timeout_s=5))
    calm, flooded = (next(c for c in reversed(result.cells) if c.profile.options["rate_rps"] == rate) for rate in (20, 400))
    assert calm.verdict == "VALID", calm.reasons
    assert calm.measurement is not None
    assert calm.measurement.offered_rps == pytest.approx(20)
    assert flooded.verdict == "INVALID"
    assert any("requests that were due could be sent" in reason for reason in flooded.reasons)
    assert flooded.measurement is not None
    assert flooded.measurement.unsent > 100
    assert calm.measurement.raw != flooded.measurement.raw


def test_filters_and_targets_that_are_gone(model_workspace: Workspace, serve_model: ServeModel) -> None:
    with pytest.raises(NotReadyError, match=r"^nothing is being served$") as caught:
        load(model_workspace)
    assert "make serve" in caught.value.hint
    serve_model("good")
    for selection in (Selection(servers=("dies",)), Selection(protocols=("grpc",)), Selection(formats=("tflite",))):
        with pytest.raises(NotReadyError, match="none of the 1 running targets passes the filters"):
            load(model_workspace, selection=selection)
    gone = serve_model("slow")
    gone.kill()
    gone.wait()
    _, result = load(model_workspace, selection=Selection(protocols=("rest",)))
    assert {c.target.server for c in result.cells} == {"good"}, "what had ended before is not loaded"
    assert [s.what for s in result.skips] == ["tfserving", "sums.pytorch.onnx.float32@slow.process"], "nor is it forgotten"
    assert result.skips[1].reason.startswith("it had ended before the load test: ")


class InterruptedConsole(Console):
    """Presses Ctrl-C when the first cell is finished."""

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        yield InterruptedBar(RichConsole(quiet=True), title, total, None)


class InterruptedBar(Bar):
    def advance_to(self, done: int, note: str = "") -> None:
        if self._title == "load":
            raise KeyboardInterrupt


class HeardConsole(Console):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self.heard.append(text)


def test_an_interrupted_run_is_gone_on_with(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    twice = plan.make(["closed:users=2,duration_s=0.5", "closed:users=2,duration_s=0.5"], warmup_s=0.1, warmup_limit_s=0.2)
    with pytest.raises(KeyboardInterrupt):
        run.load_test(Selection(), twice, model_workspace, InterruptedConsole())
    (left,) = model_workspace.runs.glob("*/run.json")
    half = storage.read(left, RunResult)
    assert ([c.profile.options["users"] for c in half.cells], half.finished, half.planned_rows) == ([2], False, 2)
    begun = left.parent / "cells" / half.cells[0].measurement.raw.split("/")[1] / "2-closed" if half.cells[0].measurement else left
    begun.mkdir(exist_ok=True)  # the second cell had begun, too

    other = HeardConsole()
    wanted = resume.intent(plan.make(["closed:users=3"]), [c for group in candidates.find(model_workspace, Selection()) for c in group])
    assert resume.find(model_workspace, wanted, other) is None, "another plan is another run"
    console = HeardConsole()
    directory = run.load_test(Selection(), twice, model_workspace, console)
    assert (directory, console.heard) == (left.parent, [f"resuming {left.parent.name}: 1 of 2 rows are there (--fresh starts anew)"])
    whole = storage.read(left, RunResult)
    first_attempts = [c for c in whole.cells if c.attempt == 1]  # a busy neighbour may have brought a second one
    assert (whole.finished, len(first_attempts)) == (True, 2)
    assert whole.cells[0] == half.cells[0], "it was not measured again"
    assert first_attempts[1].measurement is not None
    assert whole.created_at == half.created_at
    assert whole.seconds > half.seconds
    again = resume.intent(twice, [c for group in candidates.find(model_workspace, Selection()) for c in group])
    assert resume.find(model_workspace, again, other) is None, "a finished run is not gone on with"
    assert other.heard == []


def test_a_run_whose_target_was_started_again_is_not_gone_on_with(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("good")
    chosen = [c for group in candidates.find(model_workspace, Selection()) for c in group]
    before = resume.intent(SHORT, chosen)
    run_dir = model_workspace.runs / "20260101-000000"
    later = msgspec.structs.replace(before.subjects[0], started_at="2026-02-02T00:00:00+00:00")
    for then, heard in (
        (before, "resuming 20260101-000000: 0 of 1 rows are there (--fresh starts anew)"),
        (
            msgspec.structs.replace(before, subjects=(later,)),
            f"20260101-000000 is unfinished, and stays so: {later.target} was started again since",
        ),
        (
            msgspec.structs.replace(before, serveoff_version="0.0.1"),
            f"20260101-000000 is unfinished, and stays so: serveoff was 0.0.1 then, and is {before.serveoff_version}",
        ),
    ):
        storage.write(run_dir / resume.INTENT, then)
        console = HeardConsole()
        assert (resume.find(model_workspace, before, console) is None) is heard.startswith("20260101")
        assert console.heard == [heard]


def test_stored_rows_stand_for_the_first_steps_only_where_they_are_the_same(make_target: MakeTarget) -> None:
    step: Any = SimpleNamespace(
        candidate=SimpleNamespace(target=make_target(1), endpoint=SimpleNamespace(protocol="tfs_rest")), round=1, attempt=1
    )
    stored: Any = SimpleNamespace(target=make_target(1), protocol="tfs_rest", round=1, attempt=1)
    fresh: Any = object()
    answer = resume.replayed([stored], lambda _: [fresh])
    assert [*answer([step]), *answer([step])] == [stored, fresh]
    stored.round = 2
    with pytest.raises(InputError, match=r"where .* was due"):
        list(resume.replayed([stored], lambda _: [fresh])([step]))


def test_runs_of_one_second_do_not_share_a_directory(model_workspace: Workspace) -> None:
    names = [run._new_directory(model_workspace).name for _ in range(5)]
    assert len(set(names)) == 5
    assert names == sorted(names)
