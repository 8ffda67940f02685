"""The command line over real containers: serve, load test, a server killed under load, and nothing left behind.

Our embedded image stands in for tensorflow/serving, whose command line and environment it takes, and the TorchServe image that is built
from the pip package for pytorch/torchserve: there is no image registry here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from loadtests import candidates, cgroup
from loadtests.turns import Turns
from serveoff import affinity, storage
from serveoff.console import Console
from serveoff.launch import Target
from serveoff.registry import CODE_ROOT, LAUNCHERS
from serveoff.results import RunResult
from serveoff.workspace import Workspace

from .conftest import docker

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(2400)]

LABEL = "serveoff.workspace"
SHORT = ("--profile", "closed:users=2,duration_s=2", "--warmup-s", "0.3", "--warmup-limit-s", "0.5")


@pytest.fixture(scope="module")
def workspace(exported: Workspace, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The exported artifacts in a workspace of their own, whose containers are gone at the end."""
    root = tmp_path_factory.mktemp("containers")
    for name in ("artifacts", "checkpoints"):
        (root / name).symlink_to(exported.root / name)
    yield Workspace(root)
    serveoff(Workspace(root), images, "stop")


def serveoff(workspace: Workspace, images: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "SERVEOFF_WORKSPACE": str(workspace.root),
        "SERVEOFF_TFSERVING_IMAGE": images["embedded"],
        "SERVEOFF_TORCHSERVE_IMAGE": images["torchserve"],
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "serveoff", *arguments]
    return subprocess.run(command, cwd=CODE_ROOT, env=env, capture_output=True, text=True, check=False, timeout=900)


def run_of(workspace: Workspace, printed: str) -> RunResult:
    (line,) = (line for line in printed.splitlines() if line.endswith("run.json"))
    return storage.read(Path(line.removeprefix("written: ")), RunResult)


def test_every_server_is_served_and_loaded_in_containers(workspace: Workspace, images: dict[str, str]) -> None:
    served = serveoff(workspace, images, "serve", "--launcher", "container")
    assert served.returncode == 0, served.stdout + served.stderr
    loaded = serveoff(workspace, images, "loadtest", *SHORT)
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    result = run_of(workspace, loaded.stderr)
    cells = result.cells
    servers = {(cell.target.server, cell.manifest.format) for cell in cells}
    assert servers == {
        *(("embedded", name) for name in ("onnx", "savedmodel", "tflite", "torchscript")),
        *(("tfserving", name) for name in ("savedmodel", "tflite")),
        *(("torchserve", name) for name in ("onnx", "torchscript")),
        ("edge", "tflite"),
    }
    for cell in cells:
        assert cell.target.launcher == "container"
        assert cell.live_check.passed
        assert cell.measurement is not None, cell.reasons
        assert cell.measurement.requests > 0
        assert not cell.measurement.errors, (cell.target.id, cell.measurement.error_texts)
        around = cell.measurement.surroundings
        assert around is not None
        assert around.others_awake == {}, "the others were paused"
        assert around.usage is not None
        assert around.usage.cpu_s > 0
        assert around.usage.memory_peak_bytes > 20e6, "no server is that small"
        if len(affinity.usable()) > 1:
            assert around.target_cores is not None
            assert set(around.target_cores).isdisjoint(around.client_cores or ()), result.cpu_sets


def test_pausing_and_pinning_and_the_kernels_figures_on_a_real_engine(workspace: Workspace, images: dict[str, str]) -> None:
    launcher = LAUNCHERS.load("container")
    first, *others = candidates.running(workspace)
    core, everywhere = affinity.usable()[0], affinity.usable()

    def states() -> list[str]:
        return docker("inspect", "--format", "{{.State.Status}}", *(t.container or "" for t in (first, *others))).splitlines()

    with Turns([first, *others], workspace.root, Console(quiet=True)) as turns:
        turns.give(first)
        assert states() == ["running", *["paused"] * len(others)]
        assert [launcher.asleep(target) for target in (first, others[0])] == [False, True]
        turns.rest()
        assert set(states()) == {"paused"}
    assert set(states()) == {"running"}
    launcher.pin(first, [core])
    inside = processes_inside(first)
    assert {affinity.of(pid) for pid in inside} == {frozenset([core])}
    launcher.pin(first, everywhere)
    assert {affinity.of(pid) for pid in inside} == {frozenset(everywhere)}
    group = cgroup.read(inside[0])
    assert group is not None
    used = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in inside)
    assert group.cpu_s >= used - 0.1, "the kernel's sum has all processes, those that ended as well"
    assert group.memory_peak_bytes is None or group.memory_peak_bytes >= group.memory_bytes > 0


def processes_inside(target: Target) -> list[int]:
    """Without what forwards the engine's ports."""
    pids = LAUNCHERS.load("container").processes(target)
    assert pids
    return [pid for pid in pids if psutil.Process(pid).name() != "docker-proxy"]


def test_a_container_killed_under_load_is_a_result(workspace: Workspace, images: dict[str, str]) -> None:
    def kill() -> None:
        while not any(path.stat().st_mtime > started for path in workspace.runs.glob("*/cells/*edge*/1-constant/job.json")):
            assert time.time() < started + 120, "the load does not begin"
            time.sleep(0.1)
        time.sleep(4)  # the load is on its way, and goes on for long
        docker("kill", docker("ps", "--filter", f"label={LABEL}={workspace.root}", "--filter", "name=edge", "--format", "{{.Names}}"))

    started = time.time()
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        long = ("--profile", "constant:rate_rps=50,duration_s=20")
        loaded = serveoff(workspace, images, "loadtest", "--server", "edge", "--protocol", "rest", *long)
        killed.result()
    (cell,) = run_of(workspace, loaded.stderr).cells
    assert cell.verdict == "INVALID"
    assert any("the target died under load: was ended by SIGKILL, exit 137" in reason for reason in cell.reasons), cell.reasons


def test_stop_leaves_nothing(workspace: Workspace, images: dict[str, str]) -> None:
    stopped = serveoff(workspace, images, "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={workspace.root}") == ""
