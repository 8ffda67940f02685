"""Runs a server's image with the `docker` or the `podman` command, whichever has an engine that answers.

Ports are published on one address only, 127.0.0.1 unless told otherwise, and only those that a client needs; mounts are read-only; labels
find a container again after a crash.
`SERVEOFF_CONTAINER_CPUS` (e.g. 2) and `SERVEOFF_CONTAINER_MEMORY` (e.g. 4g) limit each container.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

import psutil

from serveoff import affinity
from serveoff.errors import MissingToolError, NotReadyError, ServeoffError
from serveoff.launch import LauncherKind, LaunchSpec, Target
from serveoff.plugins import Artifact, Launcher

from .. import ports
from . import _log, _slots

WORKSPACE_LABEL, TARGET_LABEL = "serveoff.workspace", "serveoff.target"
_TOOLS = ("docker", "podman")
_OURS = "serveoff/"
"""How the names of the images start that are built on this host, and published nowhere."""
_FILES = "/serveoff/files"
_FORWARDERS = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "pasta"})
"""The engines' processes that carry each byte between a published port and its container."""
_ANSWER_S, _START_S, _PULL_S = 5.0, 120.0, 1800.0


class ContainerLauncher:
    kind: LauncherKind = "image"

    def unavailable(self) -> str | None:
        return None if (found := _find_engine())[0] else found[1]

    def start(self, target_id: str, spec: LaunchSpec, artifact: Artifact, work: Path) -> Target:
        """`work` is the target's directory in the workspace. The first start of an image pulls it; where it cannot, MissingToolError."""
        tool, workspace, name = _engine(), work.parent.parent, _name(target_id, work.parent.parent)
        wanted = {spec.readiness.port, *spec.protocols.values()} | ({spec.metrics.port} if spec.metrics else set())
        published = ports.take(sorted(wanted))
        write_files(spec, work)
        command = run_command(tool, name, target_id, workspace, spec, published, work)
        _remove(tool, name)
        _require_image(tool, spec.image or "")
        done = _run(command, _START_S)
        if done.returncode:
            _remove(tool, name)  # it may have been created, and could not start
            raise NotReadyError(f"{tool} could not start {spec.image}: {_why(done)}", hint=f"try it by hand: {shlex.join(command)}")
        return Target(
            id=target_id,
            server=spec.server,
            launcher="container",
            artifact_id=spec.artifact_id,
            artifact_path=str(artifact.directory),
            endpoints=_slots.endpoints(spec, published),
            threads=spec.threads,
            metrics=_slots.metrics(spec, published),
            container=name,
            log=str(work / "log.txt"),
            command=command,
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def alive(self, target: Target) -> bool:
        """False, too, when no engine answers: nobody can tell."""
        tool, _ = _find_engine()
        return bool(tool and target.container and _call(tool, "inspect", "--format", "{{.State.Running}}", target.container) == "true")

    def exit_reason(self, target: Target) -> str:
        tool, why = _find_engine()
        if tool is None:
            return f"is out of reach, the container engine does not answer: {why}"
        name = target.container or ""
        state = _call(tool, "inspect", "--format", "{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}", name).split()
        if len(state) != 3:
            return "is gone: its container was removed"
        self._save_log(tool, target)
        ending = "is running" if state[0] == "true" else _log.ending(int(state[1]))
        return ending + (", out of memory" if state[2] == "true" else "") + _log.tail(Path(target.log))

    def stop(self, target: Target) -> None:
        """Raises MissingToolError when no engine answers: the container may still run."""
        tool, why = _find_engine()
        name = target.container or ""
        if tool is None:
            hint = f"start the engine and `serveoff stop` again; if the container is gone for good, delete {Path(target.log).parent}"
            raise MissingToolError(f"{target.id} could not be stopped, the container engine does not answer: {why}", hint)
        if not _call(tool, "inspect", "--format", "{{.Id}}", name):
            return
        self.resume(target)  # an engine does not end a paused container
        _run((tool, "stop", "-t", "10", name), 30)
        self._save_log(tool, target)
        _remove(tool, name)

    def pause(self, target: Target) -> None:
        self._freeze(target, "pause", wanted=True)

    def resume(self, target: Target) -> None:
        self._freeze(target, "unpause", wanted=False)

    def asleep(self, target: Target) -> bool:
        return _call(_engine(), "inspect", "--format", "{{.State.Paused}}", target.container or "") == "true"

    def pin(self, target: Target, cores: Collection[int]) -> None:
        tool, name = _engine(), target.container or ""
        if _call(tool, "inspect", "--format", "{{.State.Running}}", name) != "true":
            return
        if self.processes(target) is None:
            raise ServeoffError(f"{target.id} cannot be pinned to cores: its engine runs in a virtual machine, which has cores of its own")
        done = _run((tool, "update", "--cpuset-cpus", ",".join(map(str, sorted(cores))), name), 30)
        if done.returncode:
            raise ServeoffError(f"{target.id} cannot be pinned to cores: {tool} could not update the container {name}: {_why(done)}")
        for forwarder in _forwarders():
            with contextlib.suppress(OSError):  # the engine's own, so perhaps not ours to touch
                affinity.pin(forwarder, cores)

    def processes(self, target: Target) -> list[int] | None:
        """What runs in the container, and what forwards its ports; None where the engine runs in a virtual machine."""
        tool = _engine()
        words = _call(tool, "inspect", "--format", "{{.State.Pid}} {{.Id}}", target.container or "").split()
        if len(words) != 2 or not _in_container(int(words[0]), words[1]):
            return None
        found = [psutil.Process(int(words[0]))]
        with contextlib.suppress(psutil.Error):
            found += found[0].children(recursive=True)
        return [one.pid for one in found] + _forwarders()

    def _freeze(self, target: Target, command: str, *, wanted: bool) -> None:
        tool, name = _engine(), target.container or ""
        state = _call(tool, "inspect", "--format", "{{.State.Running}} {{.State.Paused}}", name).split()
        if len(state) != 2 or (state[0] != "true" and wanted) or (state[1] == "true") is wanted:
            return
        done = _run((tool, command, name), 30)
        if done.returncode:
            raise ServeoffError(f"{tool} could not {command} the container {name}: {_why(done)}")

    def sweep(self, workspace: Path) -> list[str]:
        tool, _ = _find_engine()
        if tool is None:
            return []
        listed = _call(tool, "ps", "--all", "--filter", f"label={WORKSPACE_LABEL}={workspace}", "--format", "{{.Names}}")
        failed: NotReadyError | None = None
        for name in listed.split():
            try:
                _remove(tool, name)
            except NotReadyError as error:
                failed = error
        if failed is not None:
            raise failed
        return [f"container {name}" for name in listed.split()]

    def _save_log(self, tool: str, target: Target) -> None:
        with Path(target.log).open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([tool, "logs", target.container or ""], stdout=file, stderr=file, timeout=30, check=False)


def run_command(
    tool: str, name: str, target_id: str, workspace: Path, spec: LaunchSpec, published: Mapping[str, int], work: Path
) -> tuple[str, ...]:
    """The whole `docker run` line."""
    slots = _slots_inside(spec)
    mounts = {m.host_path: m.container_path for m in spec.mounts.values()} | ({str(work / "files"): _FILES} if spec.files else {})
    limits = {"--cpus": os.environ.get("SERVEOFF_CONTAINER_CPUS"), "--memory": os.environ.get("SERVEOFF_CONTAINER_MEMORY")}
    return (
        *(tool, "run", "--detach", "--init", "--name", name),
        *("--label", f"{WORKSPACE_LABEL}={workspace}", "--label", f"{TARGET_LABEL}={target_id}"),
        *(("--pull", "never") if (spec.image or "").startswith(_OURS) else ()),  # a public hub may have a stranger's under that name
        *("--security-opt", "label=disable"),  # else SELinux keeps the mounts from the server
        *(word for port, number in published.items() for word in ("--publish", f"{spec.listen}:{number}:{spec.ports[port]}")),
        *(word for here, there in mounts.items() for word in ("--mount", f"type=bind,{_field('source', here)},target={there},readonly")),
        *(word for key, value in spec.env.items() for word in ("--env", f"{key}={slots.fill(value)}")),
        *(word for flag, value in limits.items() if value for word in (flag, value)),
        *(("--entrypoint", spec.entrypoint) if spec.entrypoint else ()),
        spec.image or "",
        *(slots.fill(word) for word in spec.argv),
    )


def write_files(spec: LaunchSpec, work: Path) -> None:
    """Write the files that the container finds below its /serveoff/files into `work/files`."""
    _slots.write_files(spec, _slots_inside(spec), work / "files")


def _forwarders() -> list[int]:
    return [one.pid for one in psutil.process_iter(["name"]) if one.info["name"] in _FORWARDERS]


def _in_container(pid: int, container_id: str) -> bool:
    """Whether this host's process of that pid is the container's: in a virtual machine the number means another process."""
    try:
        return container_id[:12] in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _slots_inside(spec: LaunchSpec) -> _slots.Slots:
    return _slots.Slots(
        ports=spec.ports,
        mounts={name: mount.container_path for name, mount in spec.mounts.items()},
        files={name: f"{_FILES}/{name}" for name in spec.files},
        work="/tmp",  # noqa: S108 - the container's own
        scratch="/tmp",  # noqa: S108
        host="0.0.0.0",  # noqa: S104 - inside the container; what is published is the launch spec's to say
    )


def _field(key: str, value: str) -> str:
    """One field of --mount, which is read as a line of CSV."""
    field = f"{key}={value}"
    return '"' + field.replace('"', '""') + '"' if re.search(r'[",]', value) else field


def _name(target_id: str, workspace: Path) -> str:
    digest = hashlib.sha256(str(workspace).encode()).hexdigest()[:8]
    return f"serveoff-{re.sub(r'[^a-zA-Z0-9_.-]', '-', target_id)}-{digest}"


def _engine() -> str:
    tool, reason = _find_engine()
    if tool is None:
        raise MissingToolError(reason)
    return tool


def _find_engine() -> tuple[str | None, str]:
    """The command whose engine answers, or why there is none. Takes 5 seconds a command at most."""
    reasons = []
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            continue
        done = _run((tool, "ps", "--quiet"), _ANSWER_S)
        if done.returncode == 0:
            return tool, ""
        reasons.append(f"{tool}: {_why(done)}")
    if not reasons:
        return None, "no container engine: neither docker nor podman is on PATH; install one of them"
    return None, f"no container engine answers ({'; '.join(reasons)}); start it, or give your user access to it"


def _require_image(tool: str, image: str) -> None:
    """Pull it where it is not here. Raises MissingToolError: that no registry is in reach is not the target's fault, it is skipped."""
    if image.startswith(_OURS) or _call(tool, "image", "inspect", "--format", "{{.Id}}", image):
        return
    done = _run((tool, "pull", "--quiet", image), _PULL_S)
    if done.returncode:
        raise MissingToolError(
            f"the image {image} is not on this host, and {tool} could not pull it: {_why(done)}",
            hint=f"try it by hand: {tool} pull {image}",
        )


def _call(tool: str, *words: str) -> str:
    """The output of a quick command of the engine; empty when it failed."""
    done = _run((tool, *words), 30)
    return done.stdout.strip() if done.returncode == 0 else ""


def _remove(tool: str, name: str) -> None:
    _call(tool, "rm", "--force", "--volumes", name)
    if _call(tool, "inspect", "--format", "{{.Id}}", name):
        raise NotReadyError(f"the container {name} could not be removed", hint=f"try `{tool} rm --force {name}`")


def _run(command: tuple[str, ...], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run to the end; a command that takes too long is ended, and counts as failed."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout_s:g} s")


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what it said, without the usual pointer to its help."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip() and "--help" not in line]
    return lines[-1] if lines else f"exit code {done.returncode}"


LAUNCHER: Launcher = ContainerLauncher()
