"""The embedded server as it would run on a small device: an image on `tflite-runtime`, with nothing else of TensorFlow."""

from __future__ import annotations

from pathlib import Path

from serveoff.launch import Endpoint, LauncherKind, LaunchSpec
from serveoff.plugins import Artifact, Metrics, Server, Times

from . import _model_server, _own_image


class Edge:
    formats: tuple[str, ...] = ("tflite",)
    default = True

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "host":
            return "it is an image only: tflite-runtime needs another numpy than everything else here"
        return _own_image.unavailable("edge")

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        manifest = artifact.manifest
        return LaunchSpec(
            server="edge",
            artifact_id=manifest.id,
            model_name=manifest.served_name,
            image=_own_image.name("edge"),
            entrypoint="serveoff-model-server",
            argv=(*_model_server.arguments(manifest, threads), *_model_server.ONE_CALL),
            ports=_model_server.PORTS,
            protocols=_model_server.PROTOCOLS,
            files=_model_server.FILES,
            mounts=_model_server.mounts(manifest, artifact.serve_dir),
            threads=threads,
            readiness=_model_server.readiness(manifest),
            metrics=_model_server.METRICS,
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        return _model_server.times(metrics, endpoint)


SERVER: Server = Edge()
