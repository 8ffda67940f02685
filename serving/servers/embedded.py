"""Our own server: TF Serving's protocols and command line for every format, so that formats can be compared on one server.

One call at a time runs, and may use `threads` threads: the same means as TorchServe's one worker gets. (TF Serving takes calls side by
side, and shares the same number of threads among them.)
"""

from __future__ import annotations

from pathlib import Path

from serveoff import host
from serveoff.contract import Manifest
from serveoff.errors import MissingToolError
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec
from serveoff.plugins import Artifact, Metrics, Server, Times
from serveoff.registry import RUNTIMES

from . import _model_server, _own_image

_NEEDS = ("grpcio", "orjson", "uvicorn", "uvloop")


class Embedded:
    formats: tuple[str, ...] = ("aotinductor", "onnx", "pt2", "savedmodel", "tflite", "torchscript")
    default = True

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "image":
            return _own_image.unavailable("embedded")
        missing = [name for name in _NEEDS if host.installed(name) is None]
        return f"the package {missing[0]} is not installed: `make setup`" if missing else None

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        """Raises MissingToolError when the artifact's runtime is not installed on this host."""
        manifest = artifact.manifest
        image = _own_image.name("embedded") if kind == "image" else None
        if image is None:
            _require_runtime(manifest)
        return LaunchSpec(
            server="embedded",
            artifact_id=manifest.id,
            model_name=manifest.served_name,
            module=None if image else "serving.embedded",
            image=image,
            entrypoint="serveoff-model-server" if image else None,
            argv=(*_model_server.arguments(manifest, threads), *_model_server.ONE_CALL),
            ports=_model_server.PORTS,
            protocols=_model_server.PROTOCOLS,
            files=_model_server.FILES,
            mounts=_model_server.mounts(manifest, artifact.serve_dir),
            env={"TF_CPP_MIN_LOG_LEVEL": "2"},
            threads=threads,
            readiness=_model_server.readiness(manifest),
            metrics=_model_server.METRICS,
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        return _model_server.times(metrics, endpoint)


def _require_runtime(manifest: Manifest) -> None:
    for runtime in RUNTIMES.all().values():
        if runtime.serve_file == manifest.serve_file:
            for name in runtime.requires:
                if host.installed(name) is None:
                    raise MissingToolError(f"{manifest.id} needs the package {name}, which is not installed", hint="make setup")


SERVER: Server = Embedded()
