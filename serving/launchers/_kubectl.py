"""The `kubectl` command, and what it says of pods, in words."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serveoff.errors import NotReadyError

from . import _log

Pod = dict[str, Any]
"""One pod as `kubectl get --output json` prints it."""

_ANSWER_S = 5.0
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
_NO_START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"})


def silence() -> str | None:
    """Why no cluster can be used: there is no kubectl, or nothing answers it; None where one does. Takes 5 seconds at most."""
    if shutil.which("kubectl") is None:
        return "kubectl is not on PATH: install it, and name a cluster in its kubeconfig"
    done = run(("version", f"--request-timeout={_ANSWER_S:g}s"), 2 * _ANSWER_S)
    if done.returncode == 0:
        return None
    return f"no Kubernetes cluster answers kubectl ({why(done)}): start one, or choose one with `kubectl config use-context`"


def run(words: tuple[str, ...], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run to the end; a command that takes too long is ended, and counts as failed."""
    try:
        return subprocess.run(
            ("kubectl", *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no answer within {timeout_s:g} s")


def call(*words: str) -> str:
    """The output of a quick command; empty when it failed."""
    done = run(words, 30)
    return done.stdout if done.returncode == 0 else ""


def require(*words: str) -> None:
    """Run a quick command. Raises NotReadyError, with its words, when it fails."""
    done = run(words, 60)
    if done.returncode:
        raise NotReadyError(f"kubectl failed: {why(done)}", hint=f"try it by hand: {shlex.join(('kubectl', *words))}")


def why(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what it said."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"


def delete(namespace: str, kinds: str, label: str, timeout_s: float) -> None:
    """Delete all of the kinds with the label, and wait until their pods are gone. Raises NotReadyError for what stays."""
    words = ("--namespace", namespace, "delete", kinds, "--selector", label, "--ignore-not-found", "--cascade=foreground")
    done = run((*words, f"--timeout={timeout_s:g}s"), timeout_s + 30)
    if done.returncode:
        raise NotReadyError(f"kubectl could not delete what is labelled {label}: {why(done)}", hint=f"try `kubectl {' '.join(words)}`")


def send(namespace: str, pod: str, container: str, source: Path, directory: str, timeout_s: float) -> None:
    """Copy the contents of `source` into `directory` of a running container, which has `mkdir` and `tar`. Raises NotReadyError."""
    unpack = f"mkdir -p {directory} && tar -x -f - -C {directory}"
    words = ("kubectl", "--namespace", namespace, "exec", "--stdin", pod, "--container", container, "--", "sh", "-c", unpack)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as command:
        assert command.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError), tarfile.open(fileobj=command.stdin, mode="w|") as archive:
                archive.add(source, arcname=".", filter=_readable)
            _, said = command.communicate(timeout=timeout_s)
        except BaseException:
            command.kill()
            raise
    if command.returncode:
        reason = why(subprocess.CompletedProcess(words, command.returncode, "", said.decode(errors="replace")))
        raise NotReadyError(f"the model could not be copied into the pod {pod}: {reason}")


def pods(namespace: str, label: str) -> list[Pod]:
    """The pods with this label; none, too, when the cluster does not answer."""
    said = call("--namespace", namespace, "get", "pods", "--selector", label, "--output", "json")
    found: list[Pod] = json.loads(said)["items"] if said else []
    return found


def save_log(namespace: str, pods: list[Pod], path: Path) -> None:
    """Write the log of the server in the first pod: of the one that ended, where the cluster has started it again."""
    if not pods:
        return
    again = any(state.get("restartCount", 0) for name, state in _states(pods) if name == "server")
    words = ("kubectl", "--namespace", namespace, "logs", pods[0]["metadata"]["name"], "--container", "server")
    with path.open("wb") as file, contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run((*words, *(("--previous",) if again else ())), stdout=file, stderr=file, timeout=30, check=False)


def filling(pods: list[Pod]) -> str | None:
    """The pod that waits for its models."""
    return next((pod["metadata"]["name"] for pod in pods for name, s in _states([pod]) if name == "fill" and "running" in s["state"]), None)


def ready(pods: list[Pod]) -> str | None:
    """The pod whose server passes its readiness probe."""
    return next((pod["metadata"]["name"] for pod in pods for name, s in _states([pod]) if name == "server" and s.get("ready")), None)


def without_image(pods: list[Pod]) -> str | None:
    """Why an image could not be had, in the cluster's words."""
    for _, state in _states(pods):
        waiting = state["state"].get("waiting", {})
        if waiting.get("reason") in _NO_IMAGE:
            return f"{state.get('image', '')}: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return None


def ending(pods: list[Pod]) -> str | None:
    """How the first pod ended, or one of its containers did; None while all go on."""
    if not pods:
        return "is gone: its pod was deleted"
    status = pods[0].get("status", {})
    if status.get("phase") == "Failed":
        return f"was ended by the cluster: {status.get('reason', 'Failed')}: {status.get('message', '')}".rstrip(": ")
    for name, state in _states(pods[:1]):
        ended = state["state"].get("terminated") or state.get("lastState", {}).get("terminated")
        if ended and (name != "fill" or ended["exitCode"]):
            reason = "" if ended.get("reason") in (None, "Error", "Completed") else f", {ended['reason']}"
            return _log.ending(ended["exitCode"]) + reason + (f": {ended['message']}" if ended.get("message") else "")
        waiting = state["state"].get("waiting", {})
        if waiting.get("reason") in _NO_START:
            return f"cannot start: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return None


def waits(pods: list[Pod]) -> str:
    """What the first pod waits for; empty without one."""
    for pod in pods[:1]:
        for condition in pod.get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] != "True":
                return f"{condition.get('reason', 'not scheduled')}: {condition.get('message', '')}".rstrip(": ")
        for name, state in _states([pod]):
            if "waiting" in state["state"]:
                return f"{name}: {state['state']['waiting'].get('reason', 'waiting')}"
        return "its server does not pass its readiness probe"
    return ""


def no_pod(namespace: str, label: str) -> str:
    """Why a deployment has no pod: a quota, or a policy of the namespace, perhaps."""
    said = call("--namespace", namespace, "get", "deployment", "--selector", label, "--output", "json")
    for deployment in json.loads(said)["items"] if said else []:
        for condition in deployment.get("status", {}).get("conditions", []):
            if condition["type"] == "ReplicaFailure":
                return str(condition.get("message", condition.get("reason", "")))
    return "the cluster made no pod"


def _states(pods: list[Pod]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(container, its status): those that prepare first."""
    for pod in pods:
        for kind in ("initContainerStatuses", "containerStatuses"):
            for status in pod.get("status", {}).get(kind, []):
                yield status["name"], {"state": {}, **status}


def _readable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owned by whoever unpacks, and readable for the server, whose user may be another one."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member
