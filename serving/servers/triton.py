"""Triton Inference Server, from its official image, on its CPU backends. Speaks the Open Inference Protocol.

The default image is the last that has a TensorFlow backend. One instance, no batching, so one call at a time, which may use `threads`
threads: the same means as TorchServe's one worker gets.
"""

from __future__ import annotations

import os
from pathlib import Path

from serveoff.launch import Endpoint, LauncherKind, LaunchSpec, MetricsPage, Mount, Readiness
from serveoff.plugins import Artifact, Metrics, Server, Times

from .. import triton_repository

IMAGE = "nvcr.io/nvidia/tritonserver:25.02-py3"
IMAGE_VARIABLE = "SERVEOFF_TRITON_IMAGE"


class Triton:
    formats: tuple[str, ...] = triton_repository.FORMATS
    default = False

    def unavailable(self, kind: LauncherKind) -> str | None:
        return "it is an image only: serve it with Docker or Podman" if kind == "host" else None

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        """Raises InputError for tensors that Triton does not take."""
        manifest, repository = artifact.manifest, work / "repository"
        triton_repository.write(artifact, repository, threads)
        protocols = {"oip_rest": "rest", "oip_binary_rest": "rest", "oip_grpc": "grpc"}
        if any(tensor.dtype == "float16" for tensor in (*manifest.inputs, *manifest.outputs)):
            del protocols["oip_rest"]  # Triton knows no JSON of it
        return LaunchSpec(
            server="triton",
            artifact_id=manifest.id,
            model_name=manifest.served_name,
            image=os.environ.get(IMAGE_VARIABLE) or IMAGE,
            entrypoint="tritonserver",
            argv=(
                "--model-repository={mount.repository}",
                *("--http-address={host}", "--http-port={port.rest}"),
                *("--grpc-address={host}", "--grpc-port={port.grpc}"),
                *("--metrics-address={host}", "--metrics-port={port.metrics}"),
                *("--model-control-mode=none", "--disable-auto-complete-config", "--allow-gpu-metrics=false"),
            ),
            ports={"rest": 8000, "grpc": 8001, "metrics": 8002},
            protocols=protocols,
            mounts={"repository": Mount(host_path=str(repository), container_path="/models")},
            threads=threads,
            readiness=Readiness(port="rest", path=f"/v2/models/{manifest.served_name}/ready"),
            metrics=MetricsPage(port="metrics", path="/metrics"),
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        """Of successful requests, in microseconds, from when the request was parsed until its reply was made.

        The reader of the page gives every counter the suffix `_total`, which Triton leaves out.
        """
        model = {"model": endpoint.model_name}
        total_us, queue_us, work_us = (
            metrics.sum(f"nv_inference_{name}_duration_us_total", **model) for name in ("request", "queue", "compute_infer")
        )
        return Times(
            requests=metrics.sum("nv_inference_request_success_total", **model),
            total_s=total_us / 1e6,
            queue_s=queue_us / 1e6,
            work_s=work_us / 1e6,
        )


SERVER: Server = Triton()
