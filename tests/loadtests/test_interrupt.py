"""Ctrl-C in a real load test, and its exit code for wrong answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
import pytest

from loadtests import handover
from serveoff import process, storage
from serveoff.results import RunResult
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = pytest.mark.integration

LONG = ("--profile", "closed:users=2,duration_s=0.5", "--profile", "closed:users=3,duration_s=600")
SHORT_ONE_FIRST = "16"
"""A seed whose order begins with the short profile on one target and goes on with the long one on the other."""


def loadtest(workspace: Workspace, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "serveoff", "loadtest", "--warmup-s", "0.1", "--warmup-limit-s", "0.2", *arguments],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], command: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if condition():
            return
        assert command.poll() is None, "it has ended"
        time.sleep(0.1)
    pytest.fail("it never happened")


def test_ctrl_c_keeps_what_was_finished_and_leaves_no_process(model_workspace: Workspace, serve_model: ServeModel) -> None:
    servers = [serve_model("good"), serve_model("slow")]
    command = loadtest(model_workspace, *LONG, "--seed", SHORT_ONE_FIRST)
    try:
        runs = model_workspace.runs
        wait_until(lambda: any(runs.glob("*/run.json")) and any(runs.glob(f"*/cells/*/2-closed/{handover.JOB}")), command)
        wait_until(lambda: len(process.owned(model_workspace.root)) > 1, command)  # the waker, and the second load
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=60)
    finally:
        command.kill()
        command.communicate()
    assert command.returncode == 130
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if "interrupt" in line.lower()] == ["error: interrupted"]
    assert process.owned(model_workspace.root) == []
    assert not list(model_workspace.running.glob("*.json"))
    assert all(psutil.Process(s.pid).status() != psutil.STATUS_STOPPED for s in servers), "nobody stays paused"
    (left,) = runs.glob("*/run.json")
    assert [c.profile.options["users"] for c in storage.read(left, RunResult).cells] == [2]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_same_command_after_an_interruption_does_what_is_missing(
    model_workspace: Workspace, serve_model: ServeModel, how: signal.Signals
) -> None:
    serve_model("good")
    serve_model("slow")
    profiles = ("--profile", "closed:users=2,duration_s=0.5", "--profile", "closed:users=3,duration_s=2")
    runs = model_workspace.runs
    command = loadtest(model_workspace, *profiles)
    try:
        wait_until(lambda: any(runs.glob("*/run.json")) and len(list(runs.glob(f"*/cells/*/*/{handover.JOB}"))) > 1, command)
        command.send_signal(how)
        command.communicate(timeout=60)
    finally:
        command.kill()
        command.communicate()
    (left,) = runs.glob("*/run.json")
    half = storage.read(left, RunResult)
    assert not half.finished
    again = loadtest(model_workspace, *profiles)
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert f"resuming {left.parent.name}: " in said
    assert list(runs.glob("*/run.json")) == [left]
    whole = storage.read(left, RunResult)
    assert whole.finished
    assert whole.cells[: len(half.cells)] == half.cells, "what was there is not measured again"
    rows = [(c.target.server, c.profile.options["users"]) for c in whole.cells if c.attempt == 1]
    assert sorted(rows) == [("good", 2), ("good", 3), ("slow", 2), ("slow", 3)]


def test_wrong_answers_are_exit_code_5(model_workspace: Workspace, serve_model: ServeModel) -> None:
    serve_model("wrong")
    command = loadtest(model_workspace, "--profile", "closed:users=2,duration_s=0.5")
    _, said = command.communicate(timeout=120)
    assert command.returncode == 5, said
    assert "1 of 1 rows had wrong answers, first sums.pytorch.onnx.float32@wrong.process" in said


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_turns_that_are_cut_short_leave_nobody_held(model_workspace: Workspace, serve_model: ServeModel, how: signal.Signals) -> None:
    servers = [psutil.Process(serve_model(name).pid) for name in ("good", "slow")]
    turns = ("--profile", "closed:users=2,duration_s=600", "--rounds", "3", "--turn-s", "0.3")
    seen: list[tuple[bool, ...]] = []

    def held() -> tuple[bool, ...]:
        return tuple(server.status() == psutil.STATUS_STOPPED for server in servers)

    def at_turns() -> bool:
        if (now := held()) != (seen or [()])[-1]:
            seen.append(now)
        return seen.count((True, False)) > 2 and seen.count((False, True)) > 2

    command = loadtest(model_workspace, *turns)
    try:
        wait_until(at_turns, command)
        command.send_signal(how)
        _, said = command.communicate(timeout=60)
    finally:
        command.kill()
        command.communicate()
    assert how == signal.SIGKILL or (command.returncode, "error: interrupted" in said.splitlines()) == (130, True)
    for _ in range(100):  # who is killed leaves it to the others to notice
        if not process.owned(model_workspace.root):
            break
        time.sleep(0.1)
    assert process.owned(model_workspace.root) == []
    assert held() == (False, False)
