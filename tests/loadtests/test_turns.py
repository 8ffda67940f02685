"""One target is awake at a time, and all are awake afterwards, whatever ends the load test."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from loadtests import candidates, turns
from loadtests.sleepers import Sleepers
from loadtests.turns import Turns
from serveoff.console import Console
from serveoff.errors import ServeoffError
from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = pytest.mark.integration


def paused(server: subprocess.Popen[str]) -> bool:
    return psutil.Process(server.pid).status() == psutil.STATUS_STOPPED


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(200):
        if what():
            return
        time.sleep(0.05)
    pytest.fail(f"this did not come true: {what}")


def test_who_has_no_turn_sleeps(model_workspace: Workspace, serve_model: ServeModel) -> None:
    good, slow, fails = serve_model("good"), serve_model("slow"), serve_model("fails")
    targets = {target.server: target for target in candidates.running(model_workspace)}
    with Turns(list(targets.values()), model_workspace.root, Console(quiet=True)) as held:
        for _ in range(2):
            held.give(targets["good"])
            assert (paused(good), paused(slow), paused(fails)) == (False, True, True)
            held.give(targets["slow"])
            assert (paused(good), paused(slow), paused(fails)) == (True, False, True)
        assert len(candidates.running(model_workspace)) == 3, "a paused target lives"
    assert not any(map(paused, (good, slow, fails)))


def test_a_target_that_works_when_it_should_sleep_is_noticed(model_workspace: Workspace, serve_model: ServeModel) -> None:
    mine, asleep, busy = serve_model("good"), serve_model("slow"), serve_model("fails")
    targets = {target.server: target for target in candidates.running(model_workspace)}
    asleep.send_signal(signal.SIGSTOP)
    with Sleepers([targets["good"]], model_workspace.root) as others:
        end = time.monotonic() + 0.5
        for server in (targets["good"], targets["fails"]) * 1000:
            ask(server.endpoints[0].port)
            if time.monotonic() > end:
                break
    assert list(others.used) == [targets["fails"].id], "neither the one that is measured nor one that is paused"
    assert all(server.poll() is None for server in (mine, asleep, busy))


def ask(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/models/sums:predict", b'{"instances": [[1, 2, 3, 4]]}')
    connection.getresponse().read()
    connection.close()


def test_an_error_and_ctrl_c_wake_everybody(model_workspace: Workspace, serve_model: ServeModel) -> None:
    servers = [serve_model("good"), serve_model("slow")]
    targets = candidates.running(model_workspace)

    def _fail_in_a_turn(error: type[BaseException]) -> None:
        with Turns(targets, model_workspace.root, Console(quiet=True)) as held:
            held.give(targets[0])
            assert any(map(paused, servers))
            raise error

    for error in (KeyboardInterrupt, RuntimeError):
        with pytest.raises(error):
            _fail_in_a_turn(error)
        assert not any(map(paused, servers))


def test_one_that_does_not_wake_is_told_of(model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_model("good")
    launcher = LAUNCHERS.load("process")
    monkeypatch.setattr(turns, "_AWAKE_WITHIN_S", 0.05)
    held = Turns(candidates.running(model_workspace), model_workspace.root, Console(quiet=True))
    with pytest.raises(ServeoffError, match=r"good\.process is still paused after the load test"), held:
        monkeypatch.setattr(type(launcher), "asleep", lambda *_: True)


def test_a_load_test_that_is_killed_leaves_nobody_asleep(model_workspace: Workspace, serve_model: ServeModel) -> None:
    servers = [serve_model("good"), serve_model("slow")]
    command = subprocess.Popen(
        [sys.executable, "-m", "serveoff", "loadtest", "--profile", "closed:duration_s=60"],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(model_workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: any(map(paused, servers)))
        command.send_signal(signal.SIGKILL)
        wait_for(lambda: not any(map(paused, servers)))
    finally:
        command.kill()
        command.wait()


def test_a_target_left_asleep_is_awake_in_the_next_load_test(model_workspace: Workspace, serve_model: ServeModel, tmp_path: Path) -> None:
    server = serve_model("good")
    server.send_signal(signal.SIGSTOP)
    wait_for(lambda: paused(server))
    with Turns(candidates.running(model_workspace), model_workspace.root, Console(quiet=True)):
        assert not paused(server)
