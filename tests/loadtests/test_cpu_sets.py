"""The cores of servers and client: how they are divided, and that all may run everywhere again, whatever ends the load test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import candidates, cpu_sets, plan
from loadtests.cpu_sets import Sets
from serveoff import affinity, host
from serveoff.console import Console
from serveoff.errors import ServeoffError, UsageError
from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not affinity.supported() or len(affinity.usable()) < 2, reason="needs CPU affinity and two cores"),
]

EVERYWHERE = set(affinity.usable()) if affinity.supported() else set()


def machine(monkeypatch: pytest.MonkeyPatch, cores: tuple[int, ...], per_core: int = 1, quota: int | None = None) -> None:
    """One whose hardware threads are numbered as Linux does it: first all cores, then their second threads."""
    physical = len(cores) // per_core

    def siblings(core: int) -> tuple[int, ...]:
        place = cores.index(core) % physical
        return tuple(cores[place + n * physical] for n in range(per_core))

    monkeypatch.setattr(affinity, "siblings", siblings)
    monkeypatch.setattr(affinity, "usable", lambda: tuple(sorted(cores, key=lambda core: (siblings(core), core))))
    monkeypatch.setattr(host, "cores", lambda: quota or len(cores))


@pytest.mark.parametrize(
    ("cores", "per_core", "quota", "sets"),
    [
        ((0, 1), 1, None, Sets((0,), (1,))),
        ((0, 1), 2, None, Sets((0,), (1,))),  # one core with two hardware threads: better than nothing
        ((0, 1, 2), 1, None, Sets((0,), (1, 2))),
        ((4, 5, 6, 7), 1, None, Sets((4, 5), (6, 7))),
        ((0, 1, 2, 3), 2, None, Sets((0, 2), (1, 3))),  # no core is shared between server and client
        ((0, 1, 2, 3, 4, 5), 2, None, Sets((0, 3), (1, 2, 4, 5))),
        (tuple(range(16)), 1, 4, Sets((0, 1), (2, 3))),  # a container may be allowed more cores than it is paid for
    ],
)
def test_half_for_the_servers_half_for_the_client(
    monkeypatch: pytest.MonkeyPatch, cores: tuple[int, ...], per_core: int, quota: int | None, sets: Sets
) -> None:
    machine(monkeypatch, cores, per_core, quota)
    assert cpu_sets.divide("auto") == sets


def test_where_there_is_nothing_to_divide_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (3,))
    assert cpu_sets.divide("auto") == "none: there is one core only"
    assert str(cpu_sets.divide("off")).startswith("off, as asked for")
    monkeypatch.setattr(affinity, "supported", lambda: False)
    assert cpu_sets.divide("0:1") == "none: this system has no CPU affinity"


def test_cores_as_a_person_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, (0, 1, 2, 3))
    assert cpu_sets.divide("0-1:3") == Sets((0, 1), (3,))
    with pytest.raises(UsageError, match="core 4 is none that may be used here: those are 0, 1, 2, 3"):
        cpu_sets.divide("0:4")
    for wrong in ("0", "0:", "a:b", "3-1:0", "on"):
        with pytest.raises(UsageError, match="CPU sets"):
            plan.make(cpu_sets=wrong)


def test_targets_and_we_are_apart_and_free_again_after_ctrl_c(model_workspace: Workspace, serve_model: ServeModel) -> None:
    servers = [serve_model("good"), serve_model("slow")]
    targets = candidates.running(model_workspace)

    def interrupted() -> None:
        with cpu_sets.apart(targets, "auto", Console(quiet=True)) as words:
            server, client = affinity.of(servers[0].pid), affinity.of(os.getpid())
            assert affinity.of(servers[1].pid) == server
            assert server
            assert client
            assert not server & client
            child = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], capture_output=True, check=True)
            assert child.stdout.decode().strip() == str(set(client)), "as a load process will be"
            assert words == str(Sets(tuple(sorted(server)), tuple(sorted(client))))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [affinity.of(pid) for pid in (servers[0].pid, servers[1].pid, os.getpid())] == [EVERYWHERE] * 3


def test_one_that_cannot_be_pinned_keeps_all_from_it(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [serve_model("good"), serve_model("slow")]
    real = LAUNCHERS.load("process")

    def pin(target: Any, cores: Any) -> None:
        if target.server == "slow" and set(cores) != EVERYWHERE:
            raise ServeoffError(f"{target.id} cannot be pinned to cores: its engine runs in a virtual machine")
        real.pin(target, cores)

    monkeypatch.setattr(cpu_sets, "LAUNCHERS", SimpleNamespace(load=lambda _: SimpleNamespace(pin=pin)))
    with cpu_sets.apart(candidates.running(model_workspace), "auto", Console(quiet=True)) as words:
        assert words.startswith("none: sums.pytorch.onnx.float32@slow.process cannot be pinned")
        assert [affinity.of(pid) for pid in (servers[0].pid, servers[1].pid, os.getpid())] == [EVERYWHERE] * 3


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(200):
        if what():
            return
        time.sleep(0.05)
    pytest.fail("this did not come true")


def test_a_load_test_that_is_killed_leaves_nobody_pinned(model_workspace: Workspace, serve_model: ServeModel) -> None:
    server = serve_model("good")
    command = subprocess.Popen(
        [sys.executable, "-m", "serveoff", "loadtest", "--profile", "closed:duration_s=60"],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(model_workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: affinity.of(server.pid) < EVERYWHERE)
        command.send_signal(signal.SIGKILL)
        wait_for(lambda: affinity.of(server.pid) == EVERYWHERE)
    finally:
        command.kill()
        command.wait()
