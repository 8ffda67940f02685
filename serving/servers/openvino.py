"""OpenVINO Model Server, from its official image, on CPU. Speaks the Open Inference Protocol.

One stream, so one call at a time, which may use `threads` threads: the same means as TorchServe's one worker gets. In float32, as the
artifact was verified: where the processor has bfloat16, OpenVINO would compute in it (logits then differ by 0.05).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path

from serveoff import storage, tflite_names
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec, MetricsPage, Mount, Readiness
from serveoff.plugins import Artifact, Metrics, Server, Times

from .. import readable

IMAGE = "openvino/model_server:2025.4"
IMAGE_VARIABLE = "SERVEOFF_OPENVINO_IMAGE"


class OpenVino:
    formats: tuple[str, ...] = ("onnx", "savedmodel", "tflite")
    default = False

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "host":
            return "it is an image only: serve it with Docker or Podman"
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64") or os.environ.get(IMAGE_VARIABLE):
            return None
        return f"the official image is not built for {machine}: name one that is in {IMAGE_VARIABLE}"

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        manifest = artifact.manifest
        name = manifest.served_name
        models = work / "repository" / name
        write_models(artifact, models)
        plugin = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        return LaunchSpec(
            server="openvino",
            artifact_id=manifest.id,
            model_name=name,
            image=os.environ.get(IMAGE_VARIABLE) or IMAGE,
            entrypoint="/ovms/bin/ovms",
            argv=(
                *("--model_name", name, "--model_path", "{mount.models}", "--target_device", "CPU"),
                *("--plugin_config", json.dumps(plugin)),
                *("--rest_bind_address", "{host}", "--rest_port", "{port.rest}"),
                *("--grpc_bind_address", "{host}", "--port", "{port.grpc}"),
                *("--file_system_poll_wait_seconds", "0", "--metrics_enable"),
            ),
            ports={"rest": 8000, "grpc": 9000},
            protocols={"oip_rest": "rest", "oip_binary_rest": "rest", "oip_grpc": "grpc"},
            mounts={"models": Mount(host_path=str(models), container_path=f"/models/{name}")},
            threads=threads,
            readiness=Readiness(port="rest", path=f"/v2/models/{name}/ready"),
            metrics=MetricsPage(port="rest", path="/metrics"),
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        """In microseconds. Requests are told apart by how they came, the model's own time is not: one protocol is loaded at a time."""
        model = {"name": endpoint.model_name}
        door = model | {"interface": "gRPC" if endpoint.protocol.endswith("_grpc") else "REST"}
        return Times(
            requests=metrics.sum("ovms_request_time_us_count", **door),
            total_s=metrics.sum("ovms_request_time_us_sum", **door) / 1e6,
            queue_s=metrics.sum("ovms_wait_for_infer_req_time_us_sum", **model) / 1e6,
            work_s=metrics.sum("ovms_inference_time_us_sum", **model) / 1e6,
        )


def write_models(artifact: Artifact, models: Path) -> None:
    """The folder of the model's versions: those of the artifact, readable for any user. The same artifact gives the same bytes.

    OpenVINO knows the tensors of a TFLite file by their internal names only; `mapping_config.json` gives them those of its signature.
    """
    version = models / str(artifact.manifest.version)
    shutil.rmtree(models, ignore_errors=True)
    shutil.copytree(artifact.version_dir, version)
    if artifact.manifest.format == "tflite":
        names = tflite_names.internal((version / artifact.manifest.serve_file).read_bytes(), artifact.manifest.signature)
        storage.write_bytes(version / "mapping_config.json", json.dumps(names, indent=2).encode())
    readable.for_any_user(models)


SERVER: Server = OpenVino()
