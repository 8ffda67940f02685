"""docker/compose.yaml without an engine: what it promises, and that its servers are run exactly as the launcher `container` runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from serveoff import artifacts, process
from serveoff.errors import InputError, UsageError
from serveoff.plugins import Artifact
from serveoff.registry import SERVERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import stack
from serving.launchers import container
from serving.servers import tfserving, torchserve

MakeArtifact = Callable[..., Artifact]
SERVERS_OF_IT = tuple(stack.ARTIFACTS)
MANAGEMENT = {"8081", "7071", "8082"}
"""TorchServe's ports that no client needs; metrics are read inside."""


@pytest.fixture
def made(make_artifact: MakeArtifact, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What compose.yaml reads, for artifacts that are in the workspace."""
    for name in list(os.environ):
        if name.startswith("SERVEOFF_"):
            monkeypatch.delenv(name)
    forms = {"tfserving": "savedmodel", "torchserve": "torchscript", "embedded": "onnx", "edge": "tflite"}
    for server, form in forms.items():
        monkeypatch.setenv(f"SERVEOFF_{server.upper()}_ARTIFACT", make_artifact("double", form).manifest.id)
    stack.prepare(workspace)
    return stack.variables(workspace)


def parsed(variables: dict[str, str]) -> dict[str, Any]:
    """compose.yaml as an engine reads it: `${NAME}`, `${NAME:-default}`, `${NAME:?why}`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if kind != "-":
            return variables[name]
        return variables.get(name) or rest

    text = re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", value, stack.COMPOSE.read_text())
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def test_every_container_is_hardened(made: dict[str, str]) -> None:
    services = parsed(made)
    assert set(services) == {*SERVERS_OF_IT, "locust-master", "locust-worker", "prometheus"}
    for name, service in services.items():
        assert service["init"] is True, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & set(service), name
        assert "healthcheck" in service or name == "locust-worker", name
        for mount in service.get("volumes", []):
            assert mount.endswith(":ro") or mount.endswith(":/workspace/runs"), f"{name} can write to {mount}"
        for port in service.get("ports", []):
            address, _, inside = port.split(":")
            assert address == "127.0.0.1", f"{name} publishes {port}"
            assert inside not in MANAGEMENT
        assert re.search(r":\d+\.\d+\.\d+(-cpu)?$|^serveoff/\w+:latest$|:v\d+\.\d+\.\d+$", service["image"]), "pinned, or ours"
        assert (service.get("pull_policy") == "never") is service["image"].startswith("serveoff/"), name
        if not service["image"].startswith(("serveoff/", "pytorch/")):  # those have a user of their own
            assert not service["user"].startswith(("0", "root")), name


def test_all_servers_have_the_same_means(made: dict[str, str]) -> None:
    services = parsed(made)
    means = {(services[name]["cpus"], services[name]["mem_limit"]) for name in SERVERS_OF_IT}
    assert means == {(int(made["SERVEOFF_CONTAINER_CPUS"]), "4g")}
    assert not any("cpus" in service for name, service in services.items() if name not in SERVERS_OF_IT)


def test_the_pins_are_those_of_the_launchers(made: dict[str, str]) -> None:
    services = parsed(made)
    assert services["tfserving"]["image"] == tfserving.IMAGE
    assert services["torchserve"]["image"] == torchserve.IMAGE
    assert services["prometheus"]["image"] == stack.PROMETHEUS
    assert services["locust-master"]["environment"]["SERVEOFF_TORCHSERVE_IMAGE"] == torchserve.IMAGE
    assert parsed(made | {"SERVEOFF_TFSERVING_IMAGE": "own/image:1"})["tfserving"]["image"] == "own/image:1"


@pytest.mark.parametrize("server", SERVERS_OF_IT)
def test_a_server_is_run_as_the_launcher_runs_it(server: str, made: dict[str, str], workspace: Workspace) -> None:
    service = parsed(made)[server]
    artifact = next(a for a in artifacts.find(workspace, Selection()) if a.manifest.id == made[f"SERVEOFF_{server.upper()}_ARTIFACT"])
    work = workspace.root / "stack" / server
    spec = SERVERS.load(server).launch_spec(artifact, "image", work, int(made["SERVEOFF_THREADS"]))
    line = container.run_command("docker", "name", "id", workspace.root, spec, {}, work)

    def given(flag: str) -> list[str]:
        return [line[n + 1] for n, word in enumerate(line) if word == flag]

    at = line.index("--entrypoint")
    assert service["entrypoint"] == [line[at + 1]]
    assert service["image"] == line[at + 2]
    assert service["command"] == list(line[at + 3 :])
    assert [f"{name}={value}" for name, value in service.get("environment", {}).items()] == given("--env")
    mounts = [mount.removesuffix(":ro").split(":") for mount in service["volumes"]]
    assert [f"type=bind,source={here},target={there},readonly" for here, there in mounts] == given("--mount")
    assert all(Path(here).is_dir() and any(Path(here).iterdir()) for here, _ in mounts)
    wanted = {spec.ports[port] for port in spec.protocols.values()}
    assert {int(port.rpartition(":")[2]) for port in service["ports"]} == wanted


def test_the_health_checks_need_only_what_the_images_have(made: dict[str, str]) -> None:
    services = parsed(made)
    programs = {name: services[name]["healthcheck"]["test"][:2] for name in services if "healthcheck" in services[name]}
    assert programs == {
        "tfserving": ["CMD", "bash"],
        "torchserve": ["CMD", "python"],
        "embedded": ["CMD", "python"],
        "edge": ["CMD", "python"],
        "locust-master": ["CMD", "python"],
        "prometheus": ["CMD", "wget"],
    }
    for name in ("torchserve", "embedded", "edge", "locust-master"):
        compile(services[name]["healthcheck"]["test"][3], name, "exec")
    done = subprocess.run(["bash", "-n", "-c", services["tfserving"]["healthcheck"]["test"][3]], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_prometheus_asks_each_server_for_the_page_of_its_launch_spec(made: dict[str, str], workspace: Workspace, tmp_path: Path) -> None:
    config = yaml.safe_load((stack.COMPOSE.parent / "prometheus.yml").read_text())
    assert set(config) == {"global", "scrape_configs"}
    asked = set()
    for job in config["scrape_configs"]:
        assert set(job) == {"job_name", "metrics_path", "static_configs"}
        asked |= {(target, job["metrics_path"]) for group in job["static_configs"] for target in group["targets"]}
    wanted = set()
    known = {artifact.manifest.id: artifact for artifact in artifacts.find(workspace, Selection())}
    for server in SERVERS_OF_IT:
        spec = SERVERS.load(server).launch_spec(known[made[f"SERVEOFF_{server.upper()}_ARTIFACT"]], "image", tmp_path, 1)
        assert spec.metrics is not None
        wanted.add((f"{server}:{spec.ports[spec.metrics.port]}", spec.metrics.path))
    assert asked == wanted
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", str(stack.COMPOSE.parent / "prometheus.yml")], check=True)


def test_an_artifact_that_is_not_there_is_one_sentence(made: dict[str, str], workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEOFF_EDGE_ARTIFACT", "double.pytorch.tflite.float16")
    with pytest.raises(InputError, match=r"there is no artifact double\.pytorch\.tflite\.float16 that edge serves") as caught:
        stack.prepare(workspace)
    assert "double.pytorch.tflite.float32" in (caught.value.hint or "")


def test_nothing_was_up(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no stack was ever up"):
        stack.variables(workspace)


@pytest.mark.parametrize("plugin", [True, False])
def test_either_compose_is_called_with_the_variables(
    made: dict[str, str], workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: bool
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    told = 'printf "%s\\n" "$0" "$*" "$SERVEOFF_EDGE_MODEL" "$COMPOSE_PROJECT_NAME" >"$TOLD"\n'
    for name, first in (("docker", f'[ "$*" = "compose version" ] && exit {0 if plugin else 1}\n'), ("docker-compose", "")):
        (folder / name).write_text(f"#!/bin/sh\n{first}{told}")
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "PATH": str(folder),
        "TOLD": str(tmp_path / "told"),
        "SERVEOFF_WORKSPACE": str(workspace.root),
        "COMPOSE_PROJECT_NAME": "mine",
    }
    subprocess.run(process.python(stack.__name__, "down", "--volumes"), env=environment, check=True)
    program, words, model, project = (tmp_path / "told").read_text().splitlines()
    assert program == str(folder / ("docker" if plugin else "docker-compose"))
    assert words == ("compose " if plugin else "") + f"--file {stack.COMPOSE} down --volumes"
    assert (model, project) == ("double", "mine")
    assert json.loads((workspace.root / "stack" / "variables.json").read_text()) == made


@pytest.mark.parametrize(
    ("here", "pulled", "wanted", "left_out"),
    [(True, False, {}, False), (False, True, {}, False), (False, False, {}, True), (False, False, {"COMPOSE_PROFILES": ""}, False)],
)
def test_the_stack_comes_up_without_an_image_of_prometheus(
    made: dict[str, str], workspace: Workspace, tmp_path: Path, here: bool, pulled: bool, wanted: dict[str, str], left_out: bool
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    answers = f'[ "$1" = image ] && exit {1 - here}\n[ "$1" = pull ] && exit {1 - pulled}\nexit 0\n'
    docker.write_text(f'#!/bin/sh\nprintf "%s: $COMPOSE_PROFILES\\n" "$*" >>"$TOLD"\n{answers}')
    docker.chmod(0o755)
    environment = os.environ | {
        "PATH": str(docker.parent),
        "TOLD": str(tmp_path / "told"),
        "SERVEOFF_WORKSPACE": str(workspace.root),
        "SERVEOFF_PROMETHEUS_IMAGE": "mirror.example/prometheus:1",
        **wanted,
    }
    done = subprocess.run(process.python(stack.__name__, "up", "--detach"), env=environment, check=True, capture_output=True, text=True)
    *asked, last = (tmp_path / "told").read_text().splitlines()
    profiles = "" if left_out or wanted else stack.MONITORING
    assert last == f"compose --file {stack.COMPOSE} up --detach: {profiles}"
    looked = ["image inspect mirror.example/prometheus:1: "] if not wanted else []
    assert asked[1:] == looked + ["pull mirror.example/prometheus:1: "] * (not here and not wanted)
    said = "Prometheus is left out: docker could not pull mirror.example/prometheus:1. Everything else comes up without it.\n"
    assert done.stderr == (said if left_out else "")
