"""TensorFlow Serving: the `tensorflow_model_server` program of this host, or the official CPU image.

The program listens on all addresses of the host (no flag of it says otherwise); the image's ports are published on 127.0.0.1 only.
TFLite: an interpreter of TF Serving has one thread, so there are as many interpreters as threads.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from serveoff import storage, tflite_names
from serveoff.errors import InputError, MissingToolError
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec
from serveoff.plugins import Artifact, Metrics, Server, Times

from . import _model_server

PROGRAM = "tensorflow_model_server"
PROGRAM_VARIABLE = "SERVEOFF_TENSORFLOW_MODEL_SERVER"
IMAGE = "tensorflow/serving:2.20.0"
IMAGE_VARIABLE = "SERVEOFF_TFSERVING_IMAGE"


class TfServing:
    formats: tuple[str, ...] = ("savedmodel", "tflite")
    default = True

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "image":
            machine = platform.machine().lower()
            if machine in ("x86_64", "amd64") or os.environ.get(IMAGE_VARIABLE):
                return None
            return f"the official image is not built for {machine}: name one that is in {IMAGE_VARIABLE}"
        if _program() is not None:
            return None
        if named := os.environ.get(PROGRAM_VARIABLE):
            return f"{named} ({PROGRAM_VARIABLE}) is no program that can be run: correct the path"
        return f"there is no {PROGRAM} on PATH: install it, name it in {PROGRAM_VARIABLE}, or serve from its image with Docker or Podman"

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        """Raises MissingToolError when the program is not here, InputError for a TFLite file that TF Serving cannot read."""
        manifest, models = artifact.manifest, artifact.serve_dir
        argv = _model_server.arguments(manifest, threads)
        if manifest.format == "tflite":
            models = _named_models(artifact, work)
            argv = (*argv, "--prefer_tflite_model=true", f"--num_tflite_pools={threads}")
        image = (os.environ.get(IMAGE_VARIABLE) or IMAGE) if kind == "image" else None
        program = None if image else _program()
        if image is None and program is None:
            raise MissingToolError(f"there is no {PROGRAM}", hint=f"put it on PATH, or name it in {PROGRAM_VARIABLE}")
        return LaunchSpec(
            server="tfserving",
            artifact_id=manifest.id,
            model_name=manifest.served_name,
            binary=program,
            image=image,
            entrypoint=PROGRAM if image else None,  # the image's own script does not pass signals on
            argv=argv,
            ports=_model_server.PORTS,
            protocols=_model_server.PROTOCOLS,
            files=_model_server.FILES,
            mounts=_model_server.mounts(manifest, models),
            threads=threads,
            readiness=_model_server.readiness(manifest),
            metrics=_model_server.METRICS,
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        return _model_server.times(metrics, endpoint)


def _program() -> str | None:
    return shutil.which(os.environ.get(PROGRAM_VARIABLE) or PROGRAM)


def _named_models(artifact: Artifact, work: Path) -> Path:
    """The folder of a model that carries its names where TF Serving reads them: ours do, a file that was given gets a copy that does."""
    content = (artifact.version_dir / artifact.manifest.serve_file).read_bytes()
    try:
        named = tflite_names.with_names(content)
    except ValueError as error:
        raise InputError(f"TF Serving cannot serve {artifact.manifest.id}: {error}") from error
    if named is content:
        return artifact.serve_dir
    models = work / "models"
    version = models / str(artifact.manifest.version)
    shutil.copytree(artifact.version_dir, version, dirs_exist_ok=True)
    storage.write_bytes(version / artifact.manifest.serve_file, named)
    return models


SERVER: Server = TfServing()
