"""The second witness: who is asked to repeat which row, and what the run says of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from loadtests import plan, run, validity
from serveoff import storage
from serveoff.console import Console
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = pytest.mark.integration

MOST = float("inf")


def load(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, profile: str) -> RunResult:
    monkeypatch.setattr(validity, "USUAL", validity.Limits(MOST, MOST, MOST, MOST, MOST, 0, MOST))
    chosen = plan.make([profile], warmup_s=0.1, warmup_limit_s=0.1)
    directory = run.load_test(Selection(), msgspec.structs.replace(chosen, witness=True), workspace, Console(quiet=True))
    return storage.read(directory / "run.json", RunResult)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: apt-get install wrk")
def test_wrk_repeats_a_row(model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_model("good")
    result = load(model_workspace, monkeypatch, "closed:users=2,duration_s=0.6")
    found, cell = result.witness, next(c for c in result.cells if c.verdict == "VALID")
    assert found is not None, result.skips
    assert (found.tool, found.target_id, found.protocol, found.users) == ("wrk", cell.target.id, "tfs_rest", 2)
    assert cell.measurement is not None
    assert found.ours_rps == cell.measurement.throughput_rps
    assert found.throughput_rps > 0
    assert found.p50_us > 0


def test_without_wrk_it_is_a_skip_with_what_to_install(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("good")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    result = load(model_workspace, monkeypatch, "closed:users=2,duration_s=0.5")
    assert result.witness is None
    assert ("the second witness", "wrk is not installed; apt-get install wrk") in [(s.what, s.reason) for s in result.skips]


def test_no_row_that_could_be_repeated_is_a_skip(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_model("good")
    result = load(model_workspace, monkeypatch, "constant:rate_rps=20,duration_s=0.5")
    assert result.witness is None
    assert [s.reason for s in result.skips if s.what == "the second witness"] == [
        "no row is VALID that wrk could repeat: REST, closed loop"
    ]
