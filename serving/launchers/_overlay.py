"""Writes the kustomization of one target: its server's overlay in docker/kubernetes, run as the launch spec says."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from serveoff import storage
from serveoff.errors import MissingToolError
from serveoff.launch import LaunchSpec
from serveoff.registry import CODE_ROOT

from . import _slots

OVERLAYS = CODE_ROOT / "docker" / "kubernetes" / "overlays"
WORKSPACE_LABEL, TARGET_LABEL = "serveoff.workspace", "serveoff.target"
FILES, FILL = "/serveoff/files", "/fill"
FILLED = f"{FILL}/.filled"
_OURS = "serveoff/"
"""How the names of the images start that are built by hand, and published nowhere."""
_NO_SCALING = {"$patch": "delete", "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "any"}}


def missing() -> str | None:
    """Why there is nothing to apply here; None where there is."""
    return None if OVERLAYS.is_dir() else f"there is no {OVERLAYS}: it is part of the repository, not of a wheel"


def digest(*words: str) -> str:
    """What stands for words that are too long, or too strange, for a label or a name in Kubernetes."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:10]


def mark(target_id: str, workspace: Path) -> str:
    """The end of the names of all that belongs to a target, and the value of its label."""
    return digest(target_id, str(workspace))


def labels(target_id: str, workspace: Path) -> dict[str, str]:
    return {TARGET_LABEL: mark(target_id, workspace), WORKSPACE_LABEL: digest(str(workspace))}


def slots(spec: LaunchSpec) -> _slots.Slots:
    """As the server sees them in its container: those of an image."""
    return _slots.Slots(
        ports=spec.ports,
        mounts={name: mount.container_path for name, mount in spec.mounts.items()},
        files={name: f"{FILES}/{name}" for name in spec.files},
        work="/tmp",  # noqa: S108 - the container's own
        scratch="/tmp",  # noqa: S108
        host="0.0.0.0",  # noqa: S104 - inside the pod
    )


def write(directory: Path, spec: LaunchSpec, namespace: str, target_id: str, workspace: Path) -> None:
    """Write kustomization.yaml (JSON is YAML, too) beside `files/`. Raises MissingToolError for a server that has no overlay."""
    overlay = OVERLAYS / spec.server
    if not overlay.is_dir():
        known = ", ".join(sorted(path.name for path in OVERLAYS.iterdir() if (path / "server.yaml").is_file()))
        raise MissingToolError(f"{spec.server} has no overlay in docker/kubernetes: {known} have one")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [os.path.relpath(overlay.resolve(), directory.resolve())],
        "nameSuffix": f"-{mark(target_id, workspace)}",
        "labels": [{"pairs": labels(target_id, workspace), "includeSelectors": True}],
        "commonAnnotations": {TARGET_LABEL: target_id},
        "configMapGenerator": [{"name": "given", "files": sorted(f"files/{name}" for name in spec.files)}],
        "patches": [
            {"target": {"kind": "Deployment"}, "patch": json.dumps(_server(spec), indent=2)},
            {"target": {"kind": "Deployment"}, "patch": json.dumps(_surroundings(spec), indent=2)},
            {"target": {"kind": "HorizontalPodAutoscaler"}, "patch": json.dumps(_NO_SCALING)},
        ],
    }
    storage.write_bytes(directory / "kustomization.yaml", json.dumps(kustomization, indent=2).encode())


def _server(spec: LaunchSpec) -> dict[str, Any]:
    """A patch that is merged: the server as an image is run for this spec."""
    inside = slots(spec)
    env = {"MODEL_NAME": spec.model_name} | {key: inside.fill(value) for key, value in spec.env.items()}
    mounts = [{"name": "workspace", "mountPath": m.container_path, "subPath": name, "readOnly": True} for name, m in spec.mounts.items()]
    given = [{"name": "files", "mountPath": FILES, "readOnly": True}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    server = {
        "name": "server",
        **_image(spec),
        "command": [spec.entrypoint] if spec.entrypoint else [],
        "args": [inside.fill(word) for word in spec.argv],
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "volumeMounts": [{"$patch": "replace"}, *mounts, *given],
    }
    pod = {"containers": [server]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "any"}, "spec": {"template": {"spec": pod}}}


def _surroundings(spec: LaunchSpec) -> list[dict[str, Any]]:
    """A patch that replaces: a container that waits for the models comes first, and they live as long as the pod."""
    fill = {
        "name": "fill",
        **_image(spec),
        "command": ["sh", "-c", f"until [ -e {FILLED} ]; do sleep 0.2; done"],
        "resources": {kind: {"cpu": "1", "memory": "1Gi"} for kind in ("requests", "limits")},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "workspace", "mountPath": FILL}],
    }
    volumes = [
        {"name": "workspace", "emptyDir": {}},
        {"name": "files", "configMap": {"name": "given"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    pod = "/spec/template/spec"
    return [{"op": "add", "path": f"{pod}/{key}", "value": value} for key, value in (("initContainers", [fill]), ("volumes", volumes))]


def _image(spec: LaunchSpec) -> dict[str, str]:
    image = spec.image or ""
    return {"image": image, "imagePullPolicy": "Never" if image.startswith(_OURS) else "IfNotPresent"}
