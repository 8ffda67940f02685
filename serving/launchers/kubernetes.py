"""Runs a server's image in a Kubernetes cluster with the `kubectl` command, and forwards its ports to this host.

What is applied is the server's overlay in docker/kubernetes, with this launch spec's command line, in one namespace: `serveoff`, or
SERVEOFF_KUBERNETES_NAMESPACE. Models travel into the pod through `kubectl exec`, so that no volume is needed; labels find everything again.
Every byte of a request goes through the API server: what is measured here holds that way, too (docs/kubernetes.md has the one without).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

from serveoff import process
from serveoff.errors import MissingToolError, NotReadyError, ServeoffError
from serveoff.launch import LauncherKind, LaunchSpec, Target
from serveoff.plugins import Artifact, Launcher

from .. import ports
from . import _kubectl, _log, _overlay, _slots
from .process import TARGET

NAMESPACE_VARIABLE = "SERVEOFF_KUBERNETES_NAMESPACE"
KINDS = "deployment,service,configmap,poddisruptionbudget,networkpolicy"
_LOOK_S, _FILL_S, _DELETE_S = 0.5, 1800.0, 120.0
_PULL_S = 1800.0
"""How long a cluster may take to find a node and to pull the image."""


class KubernetesLauncher:
    kind: LauncherKind = "image"

    def unavailable(self) -> str | None:
        return _kubectl.silence() or _overlay.missing()

    def start(self, target_id: str, spec: LaunchSpec, artifact: Artifact, work: Path) -> Target:
        """Returns once the pod is ready: before that a port cannot be forwarded.

        Raises MissingToolError where no cluster answers, or it cannot have the image; NotReadyError, with the cluster's own words, where
        the pod does not come up. Whatever was applied is gone then.
        """
        if why := self.unavailable():
            raise MissingToolError(why)
        namespace = os.environ.get(NAMESPACE_VARIABLE) or "serveoff"
        workspace, directory = work.parent.parent, work / "kubernetes"
        mark = _overlay.mark(target_id, workspace)
        _slots.write_files(spec, _overlay.slots(spec), directory / "files")
        _overlay.write(directory, spec, namespace, target_id, workspace)
        command = ("kubectl", "--namespace", namespace, "apply", "--kustomize", str(directory))
        try:
            _require_namespace(namespace)
            _kubectl.require(*command[1:])
            pod = _await(namespace, mark, _kubectl.filling, _PULL_S)
            for mount, paths in spec.mounts.items():
                _kubectl.send(namespace, pod, "fill", Path(paths.host_path), f"{_overlay.FILL}/{mount}", _FILL_S)
            _kubectl.require("--namespace", namespace, "exec", pod, "--container", "fill", "--", "touch", _overlay.FILLED)
            _await(namespace, mark, _kubectl.ready, spec.readiness.timeout_s)
            published = ports.take(sorted({*spec.protocols.values()} | ({spec.metrics.port} if spec.metrics else set())))
            forward = _forward(namespace, pod, target_id, spec, published, work)
        except BaseException:
            with contextlib.suppress(NotReadyError):  # what stays has its label, so that `serveoff stop` finds it
                _delete(namespace, mark)
            raise
        return Target(
            id=target_id,
            server=spec.server,
            launcher="kubernetes",
            artifact_id=spec.artifact_id,
            artifact_path=str(artifact.directory),
            endpoints=_slots.endpoints(spec, published),
            threads=spec.threads,
            metrics=_slots.metrics(spec, published),
            pid=forward.pid,
            pid_started_at=forward.create_time(),
            container=f"{namespace}/{spec.server}-server-{mark}",
            log=str(work / "log.txt"),
            command=command,
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def alive(self, target: Target) -> bool:
        """False, too, once its server was started again by the cluster, or when no cluster answers."""
        return _forwarding(target) and _kubectl.ending(_pods(*_where(target))) is None

    def exit_reason(self, target: Target) -> str:
        if why := _kubectl.silence():
            return f"is out of reach: {why}"
        namespace, mark = _where(target)
        pods = _pods(namespace, mark)
        ending = _kubectl.ending(pods)
        _save_log(namespace, pods, target)
        if ending is None:
            ending = "is running" if _forwarding(target) else "runs, but its `kubectl port-forward` ended" + _log.tail(_forward_log(target))
        return ending + _log.tail(Path(target.log))

    def stop(self, target: Target) -> None:
        """Raises MissingToolError when no cluster answers: the pod may still run."""
        if target.pid is not None:
            process.end_tree(target.pid, target.pid_started_at)
        if why := _kubectl.silence():
            hint = f"`serveoff stop` again once it answers; if the cluster is gone for good, delete {Path(target.log).parent}"
            raise MissingToolError(f"{target.id} could not be stopped: {why}", hint)
        namespace, mark = _where(target)
        _save_log(namespace, _pods(namespace, mark), target)
        _delete(namespace, mark)

    def pause(self, target: Target) -> None:
        raise ServeoffError(f"{target.id} cannot be paused: Kubernetes pauses no pod")

    def resume(self, target: Target) -> None: ...

    def asleep(self, target: Target) -> bool:
        return False

    def pin(self, target: Target, cores: Collection[int]) -> None:
        raise ServeoffError(f"{target.id} cannot be pinned to cores: its cluster places it")

    def processes(self, target: Target) -> list[int] | None:
        return None

    def sweep(self, workspace: Path) -> list[str]:
        """Asks the cluster only where this workspace ever had a target in one. Processes that forward ports are the process launcher's."""
        if not any(workspace.glob("targets/*.kubernetes")) or _kubectl.silence():
            return []
        namespace = os.environ.get(NAMESPACE_VARIABLE) or "serveoff"
        label = f"{_overlay.WORKSPACE_LABEL}={_overlay.digest(str(workspace))}"
        listed = _kubectl.call("--namespace", namespace, "get", "deployment", "--selector", label, "--output", "name").split()
        if listed:
            _kubectl.delete(namespace, KINDS, label, _DELETE_S)
        return [f"{name} of the namespace {namespace}" for name in listed]


def _where(target: Target) -> tuple[str, str]:
    """The namespace, and the mark of all that belongs to the target."""
    namespace, _, name = (target.container or "").partition("/")
    return namespace, name.rpartition("-")[2]


def _pods(namespace: str, mark: str) -> list[_kubectl.Pod]:
    return _kubectl.pods(namespace, f"{_overlay.TARGET_LABEL}={mark}")


def _require_namespace(namespace: str) -> None:
    if _kubectl.run(("get", "namespace", namespace), 30).returncode == 0:
        return
    done = _kubectl.run(("create", "namespace", namespace), 30)
    if done.returncode:
        hint = f"have it created, or name one that is yours in {NAMESPACE_VARIABLE}"
        raise MissingToolError(f"there is no namespace {namespace}, and kubectl could not create it: {_kubectl.why(done)}", hint)


def _await(namespace: str, mark: str, reached: Callable[[list[_kubectl.Pod]], str | None], timeout_s: float) -> str:
    """The name of the pod that has `reached` it. Raises what keeps it from that, as the cluster says."""
    deadline = time.monotonic() + timeout_s
    while True:
        pods = _pods(namespace, mark)
        if (name := reached(pods)) is not None:
            return name
        if (image := _kubectl.without_image(pods)) is not None:
            raise MissingToolError(f"the cluster cannot have the image: {image}")
        if (ending := _kubectl.ending(pods)) is not None and pods:
            raise NotReadyError(f"the pod {pods[0]['metadata']['name']} {ending}" + _last_words(namespace, pods))
        if time.monotonic() > deadline:
            waits = _kubectl.waits(pods) or _kubectl.no_pod(namespace, f"{_overlay.TARGET_LABEL}={mark}")
            raise NotReadyError(f"no pod was ready after {timeout_s:g} s: {waits}" + _last_words(namespace, pods))
        time.sleep(_LOOK_S)


def _last_words(namespace: str, pods: list[_kubectl.Pod]) -> str:
    """The end of the server's log; of a pod that is about to be deleted."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        _kubectl.save_log(namespace, pods, log)
        return _log.tail(log)


def _forward(namespace: str, pod: str, target_id: str, spec: LaunchSpec, published: dict[str, int], work: Path) -> psutil.Process:
    pairs = [f"{number}:{spec.ports[port]}" for port, number in published.items()]
    kubectl = shutil.which("kubectl") or "kubectl"
    command = (kubectl, "--namespace", namespace, "port-forward", "--address", spec.listen, f"pod/{pod}", *pairs)
    return process.spawn(command, env=process.environment(work.parent.parent, {TARGET: target_id}), log=work / "port-forward.txt", cwd=work)


def _forward_log(target: Target) -> Path:
    return Path(target.log).with_name("port-forward.txt")


def _forwarding(target: Target) -> bool:
    return target.pid is not None and process.find(target.pid, target.pid_started_at) is not None


def _save_log(namespace: str, pods: list[_kubectl.Pod], target: Target) -> None:
    if pods:
        _kubectl.save_log(namespace, pods, Path(target.log))


def _delete(namespace: str, mark: str) -> None:
    _kubectl.delete(namespace, KINDS, f"{_overlay.TARGET_LABEL}={mark}", _DELETE_S)


LAUNCHER: Launcher = KubernetesLauncher()
