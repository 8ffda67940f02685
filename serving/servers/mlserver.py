"""MLServer: the pip package in an environment of its own (`make mlserver`), or one that `SERVEOFF_MLSERVER` names.

It has no runtime of its own for any of our formats; its users write one, so did we (`serving/mlserver_runtime.py`): ONNX in ONNX Runtime.
One worker, its default, so one call at a time, which may use `threads` threads: the same means as TorchServe's one worker gets.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from serveoff import storage
from serveoff.contract import TensorSpec
from serveoff.errors import MissingToolError
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec, MetricsPage, Mount, Readiness
from serveoff.plugins import Artifact, Metrics, Server, Times
from serveoff.wire.oip import DATATYPES

PROGRAM_VARIABLE = "SERVEOFF_MLSERVER"
_RUNTIME = Path(__file__).parents[1] / "mlserver_runtime.py"
_LARGEST_MESSAGE_BYTES = 512 * 1024 * 1024


class MlServer:
    formats: tuple[str, ...] = ("onnx",)
    default = False

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "image":
            return "it is a process only: the official image has no ONNX Runtime"
        if _program() is not None:
            return None
        if named := os.environ.get(PROGRAM_VARIABLE):
            return f"{named} ({PROGRAM_VARIABLE}) is no program that can be run: correct the path"
        return f"there is no mlserver in {_own()}, nor on PATH: `make mlserver`, or name its program in {PROGRAM_VARIABLE}"

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        """Raises MissingToolError when the program is not here."""
        program = _program()
        if program is None:
            raise MissingToolError("there is no mlserver", hint=f"`make mlserver`, or name it in {PROGRAM_VARIABLE}")
        name = artifact.manifest.served_name
        repository = work / "repository"
        write_repository(artifact, repository, threads)
        return LaunchSpec(
            server="mlserver",
            artifact_id=artifact.manifest.id,
            model_name=name,
            binary=program,
            argv=("start", "{mount.repository}"),
            ports={"rest": 8080, "grpc": 8081, "metrics": 8082},
            protocols={"oip_rest": "rest", "oip_grpc": "grpc"},
            mounts={"repository": Mount(host_path=str(repository), container_path="/mnt/models")},
            env={
                "MLSERVER_HOST": "{host}",
                "MLSERVER_HTTP_PORT": "{port.rest}",
                "MLSERVER_GRPC_PORT": "{port.grpc}",
                "MLSERVER_METRICS_PORT": "{port.metrics}",
                "MLSERVER_METRICS_DIR": "{work}/metrics",
                "OMP_NUM_THREADS": str(threads),
            },
            threads=threads,
            readiness=Readiness(port="rest", path=f"/v2/models/{name}/ready"),
            metrics=MetricsPage(port="metrics", path="/metrics"),
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        """From when the request was parsed until the worker's reply was there, the queue included; of failures, too, but it counts them."""
        model = {"model": endpoint.model_name}
        return Times(
            requests=metrics.sum("model_infer_request_duration_count", **model),
            total_s=metrics.sum("model_infer_request_duration_sum", **model),
        )


def write_repository(artifact: Artifact, repository: Path, threads: int) -> None:
    """The folder that `mlserver start` takes: its settings but for addresses; in a folder of the model's name, those and our runtime.

    The model's file stays where it is.
    """
    manifest = artifact.manifest
    server = {"debug": False, "parallel_workers": 1, "grpc_max_message_length": _LARGEST_MESSAGE_BYTES}
    model = {
        "name": manifest.served_name,
        "implementation": f"{_RUNTIME.stem}.OnnxModel",
        "inputs": [_metadata(tensor) for tensor in manifest.inputs],
        "outputs": [_metadata(tensor) for tensor in manifest.outputs],
        "parameters": {"uri": str(artifact.version_dir / manifest.serve_file), "extra": {"threads": threads}},
    }
    storage.write_bytes(repository / "settings.json", json.dumps(server, indent=2).encode())
    storage.write_bytes(repository / manifest.served_name / "model-settings.json", json.dumps(model, indent=2).encode())
    storage.write_bytes(repository / manifest.served_name / _RUNTIME.name, _RUNTIME.read_bytes())


def _metadata(tensor: TensorSpec) -> dict[str, object]:
    shape = [-1 if size is None else size for size in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape}


def _own() -> Path:
    """Where `make mlserver` makes the environment: inside ours, so that it goes with it."""
    return Path(sys.prefix) / "mlserver"


def _program() -> str | None:
    if named := os.environ.get(PROGRAM_VARIABLE):
        return shutil.which(named)
    return shutil.which(str(_own() / "bin" / "mlserver")) or shutil.which("mlserver")


SERVER: Server = MlServer()
