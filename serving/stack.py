"""`python -m serving.stack WORDS...`: `docker compose WORDS...` on docker/compose.yaml, with the variables that it reads.

Before `up` it writes what the servers are given, from the launch specs that the launcher `container` runs, into the workspace's `stack/`.
`SERVEOFF_<SERVER>_ARTIFACT` names what a server serves; what else can be set stands in compose.yaml.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from serveoff import artifacts, storage
from serveoff.errors import InputError, MissingToolError, ServeoffError, UsageError
from serveoff.registry import CODE_ROOT, SERVERS, suggestion
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from .launchers import container
from .serve import default_threads

COMPOSE = CODE_ROOT / "docker" / "compose.yaml"
ARTIFACTS = {
    "tfserving": "digits_cnn.keras.savedmodel.float32",
    "torchserve": "digits_cnn.pytorch.torchscript.float32",
    "embedded": "digits_cnn.pytorch.onnx.float32",
    "edge": "digits_cnn.keras.tflite.float32",
}
"""What each server serves unless told otherwise."""
MONITORING, PROMETHEUS = "monitoring", "prom/prometheus:v3.5.0"
"""The profile of compose.yaml that is on unless COMPOSE_PROFILES says otherwise, and the image that it alone needs."""
_OUR_USER = 10001


def main() -> None:
    words = sys.argv[1:]
    try:
        workspace, command = Workspace.current(), (*tool(), "--file", str(COMPOSE), *words)
        if "up" in words:
            prepare(workspace)
        environment = {"COMPOSE_PROFILES": MONITORING} | variables(workspace) | os.environ
        if "up" in words and environment["COMPOSE_PROFILES"] == MONITORING and not _has_prometheus():
            environment["COMPOSE_PROFILES"] = ""
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell
    except ServeoffError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.exit(error.exit_code)


def tool() -> tuple[str, ...]:
    """The command that there is: Docker's plug-in, or the older program. Raises MissingToolError."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return "docker", "compose"
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise MissingToolError("neither `docker compose` nor `docker-compose` is here", hint="install Docker's compose plug-in")


def variables(workspace: Workspace) -> dict[str, str]:
    """What compose.yaml reads, as the last `up` wrote it. Raises UsageError where there was none."""
    try:
        found: dict[str, str] = json.loads(_file(workspace).read_text())
    except FileNotFoundError:
        raise UsageError(f"no stack was ever up in {workspace.root}", hint="make up") from None
    return found


def prepare(workspace: Workspace) -> None:
    """Write what the servers are given, and the variables. Raises InputError for an artifact that is not there."""
    threads, user = _threads(), _user()
    found = {
        "COMPOSE_PROJECT_NAME": "serveoff",
        "SERVEOFF_WORKSPACE": str(workspace.root),
        "SERVEOFF_STACK": str(_file(workspace).parent),
        "SERVEOFF_THREADS": str(threads),
        "SERVEOFF_CONTAINER_CPUS": str(threads),
        "SERVEOFF_USER": "{}:{}".format(*user),
    }
    for server in ARTIFACTS:
        found |= _given(workspace, server, threads)
    for folder in (workspace.artifacts, workspace.root / "checkpoints", workspace.runs):
        folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(workspace.runs, *user)  # the report is written there, by no root
    storage.write_bytes(_file(workspace), json.dumps(found, indent=2).encode())


def _given(workspace: Workspace, server: str, threads: int) -> dict[str, str]:
    """The variables of one server, whose files are written."""
    variable = f"SERVEOFF_{server.upper()}"
    wanted = os.environ.get(f"{variable}_ARTIFACT") or ARTIFACTS[server]
    known = {artifact.manifest.id: artifact for artifact in artifacts.find(workspace, Selection())}
    fitting = [name for name, artifact in known.items() if artifact.manifest.format in SERVERS.load(server).formats]
    if wanted not in fitting:
        hint = f"name another one in {variable}_ARTIFACT: {suggestion(wanted, fitting)}" if fitting else "make export"
        raise InputError(f"there is no artifact {wanted} that {server} serves", hint)
    artifact, work = known[wanted], _file(workspace).parent / server
    artifacts.verify(artifact)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    spec = SERVERS.load(server).launch_spec(artifact, "image", work, threads)
    container.write_files(spec, work)
    (mount,) = spec.mounts.values()
    return {f"{variable}_ARTIFACT": wanted, f"{variable}_MODEL": spec.model_name, f"{variable}_MODELS": mount.host_path}


def _has_prometheus() -> bool:
    """Whether its image is here, or can be pulled; where it cannot, a sentence says so: all else can do without it."""
    if shutil.which("docker") is None:
        return True  # docker-compose on another engine: it finds out itself
    image = os.environ.get("SERVEOFF_PROMETHEUS_IMAGE") or PROMETHEUS
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0:
        return True
    if subprocess.run(["docker", "pull", image], check=False).returncode == 0:
        return True
    sys.stderr.write(f"Prometheus is left out: docker could not pull {image}. Everything else comes up without it.\n")
    return False


def _threads() -> int:
    told = os.environ.get("SERVEOFF_THREADS", "")
    if told and not (told.isdecimal() and int(told)):
        raise UsageError(f"SERVEOFF_THREADS is {told!r}, which is no number of threads", hint="a number from 1 on")
    return int(told) if told else default_threads()


def _file(workspace: Workspace) -> Path:
    return workspace.root / "stack" / "variables.json"


def _user() -> tuple[int, int]:
    """Who loads: whoever calls us, so that the report is theirs; but not root."""
    return (os.geteuid(), os.getegid()) if os.geteuid() else (_OUR_USER, _OUR_USER)


if __name__ == "__main__":
    main()
