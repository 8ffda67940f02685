"""The compose stack on a real engine: up, loaded through the Locust master by two workers, a server killed under load, and nothing left.

Our embedded image stands in for tensorflow/serving, and the TorchServe image that is built from the pip package for pytorch/torchserve:
there is no image registry here. So Prometheus is left out as anywhere without one; tests/serving/test_stack.py checks its file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serveoff import process, storage
from serveoff.registry import CODE_ROOT
from serveoff.results import RunResult
from serveoff.workspace import Workspace
from serving import ports, stack

from .conftest import docker

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(2400)]

PROJECT = "serveoff-test"
OURS = f"label=com.docker.compose.project={PROJECT}"
LOADTEST = ("exec", "-T", "locust-master", "serveoff", "loadtest", "--workers", "2", "--master-bind", "0.0.0.0:5557", "--no-calibrate")
SHORT = ("--profile", "closed:users=2,duration_s=2", "--warmup-s", "0.3", "--warmup-limit-s", "0.5")
PORTS = [f"{server}_{kind}" for server in ("TFSERVING", "TORCHSERVE", "EMBEDDED", "EDGE") for kind in ("REST", "GRPC")] + ["UI"]


@pytest.fixture(scope="module")
def environment(exported: Workspace, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The stack is up, on free ports; at the end it is down, whatever happened."""
    root = tmp_path_factory.mktemp("stack")
    for name in ("artifacts", "checkpoints"):
        shutil.copytree(exported.root / name, root / name)
    found = os.environ | {
        **{f"SERVEOFF_{name}_PORT": str(port) for name, port in ports.take(PORTS).items()},
        "SERVEOFF_WORKSPACE": str(root),
        "SERVEOFF_TFSERVING_IMAGE": images["embedded"],
        "SERVEOFF_TORCHSERVE_IMAGE": images["torchserve"],
        "COMPOSE_PROJECT_NAME": PROJECT,
    }
    if shutil.which("docker-compose") is None and subprocess.run(["docker", "compose", "version"], check=False).returncode:
        pytest.fail("there is no docker compose: apt-get install docker-compose")
    compose(found, "up", "--detach", "--scale", "locust-worker=2")
    yield found
    compose(found, "down", "--volumes", "--remove-orphans")


def compose(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = process.python(stack.__name__, *words)
    done = subprocess.run(command, cwd=CODE_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def report_of(environment: dict[str, str]) -> RunResult:
    """The newest report in the workspace on this host."""
    newest = max(Path(environment["SERVEOFF_WORKSPACE"]).glob("runs/*/run.json"))
    assert (newest.parent / "report.html").stat().st_size > 0
    return storage.read(newest, RunResult)


def one(service: str) -> str:
    """The id of the service's container."""
    return docker("ps", "--all", "--quiet", "--filter", OURS, "--filter", f"label=com.docker.compose.service={service}")


def test_all_is_healthy_and_only_this_host_reaches_it(environment: dict[str, str]) -> None:
    for service in (*stack.ARTIFACTS, "locust-master"):
        form = "{{.State.Health.Status}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.Config.User}}"
        health, read_only, cpus, memory, user = docker("inspect", "--format", form, one(service)).split()
        assert (health, read_only) == ("healthy", "true")
        assert user not in ("", "0", "root", "0:0")
        assert service not in stack.ARTIFACTS or (int(cpus) > 0 and int(memory) == 4 * 1024**3)
        published = docker("port", one(service)).splitlines()
        assert len(published) == (1 if service == "locust-master" else 2)
        assert all(line.split(" -> ")[1].startswith("127.0.0.1:") for line in published)
    page = urllib.request.urlopen(f"http://127.0.0.1:{environment['SERVEOFF_UI_PORT']}/", timeout=20).read().decode()
    assert "<title>serveoff load test</title>" in page
    assert "digits_cnn.keras.tflite.float32@edge.attached" in page


def test_the_load_of_two_workers_in_containers_leaves_its_report_here(environment: dict[str, str]) -> None:
    compose(environment, *LOADTEST, *SHORT)
    result = report_of(environment)
    assert result.finished
    assert {(cell.target.server, cell.protocol) for cell in result.cells} == {
        *((server, f"tfs_{transport}") for server in ("tfserving", "embedded", "edge") for transport in ("rest", "grpc")),
        *(("torchserve", f"torchserve_{transport}") for transport in ("rest", "grpc")),
    }
    for cell in result.cells:
        assert cell.target.launcher == "attached"
        assert cell.live_check.passed
        assert cell.measurement is not None, cell.reasons
        assert cell.measurement.load_processes == 2, "both workers loaded"
        assert cell.measurement.requests > 0
        assert not cell.measurement.errors, (cell.target.id, cell.measurement.error_texts)
        assert all("the target" not in reason for reason in cell.reasons), cell.reasons  # what a busy machine does may stand there


def test_a_server_killed_under_load_is_a_result(environment: dict[str, str]) -> None:
    runs = Path(environment["SERVEOFF_WORKSPACE"]) / "runs"
    started = time.time()

    def kill() -> None:
        while not any(path.stat().st_mtime > started for path in runs.glob("*/cells/*edge*/1-constant/job.json")):
            assert time.time() < started + 300, "the load does not begin"
            time.sleep(0.1)
        time.sleep(6)  # the load is on its way, and goes on for long
        docker("kill", one("edge"))

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        compose(environment, *LOADTEST, "--server", "edge", "--protocol", "rest", "--profile", "constant:rate_rps=50,duration_s=20")
        killed.result()
    (cell,) = report_of(environment).cells
    assert cell.verdict == "INVALID"
    assert any("the target died under load: takes no connection: edge:8501: " in reason for reason in cell.reasons), cell.reasons
    assert docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", one("edge")) == "exited 137"
    told = compose(environment, "exec", "-T", "locust-master", "serveoff", "status").stdout
    assert "DEAD: takes no connection: edge:8501" in " ".join(told.split())


def test_down_leaves_nothing(environment: dict[str, str]) -> None:
    compose(environment, "down", "--volumes", "--remove-orphans")
    assert docker("ps", "--all", "--quiet", "--filter", OURS) == ""
    assert docker("network", "ls", "--quiet", "--filter", OURS) == ""
    assert docker("volume", "ls", "--quiet", "--filter", OURS) == ""
