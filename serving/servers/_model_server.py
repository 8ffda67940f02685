"""What TF Serving and the embedded server share: the command line of `tensorflow_model_server`, its ports, protocols and readiness."""

from __future__ import annotations

from pathlib import Path

from serveoff.contract import Manifest
from serveoff.launch import Endpoint, MetricsPage, Mount, Readiness
from serveoff.plugins import Metrics, Times

PORTS = {"grpc": 8500, "rest": 8501}
METRICS = MetricsPage(port="rest", path="/monitoring/prometheus/metrics")
FILES = {"monitoring.config": f'prometheus_config {{ enable: true, path: "{METRICS.path}" }}\n'}
ONE_CALL = ("--host={host}", "--rest_api_num_threads=1", "--grpc_max_threads=1")
"""Flags of our own server: it takes one call at a time, as TorchServe's one worker does."""
PROTOCOLS = {"tfs_rest": "rest", "tfs_grpc": "grpc"}


def arguments(manifest: Manifest, threads: int) -> tuple[str, ...]:
    return (
        "--port={port.grpc}",
        "--rest_api_port={port.rest}",
        f"--model_name={manifest.served_name}",
        "--model_base_path={mount.models}",
        f"--tensorflow_session_parallelism={threads}",
        "--monitoring_config_file={file.monitoring.config}",
        "--max_num_load_retries=0",  # else a model that does not load is tried again for five minutes before anybody hears of it
    )


def mounts(manifest: Manifest, models: Path) -> dict[str, Mount]:
    """`models` holds the version folders."""
    return {"models": Mount(host_path=str(models), container_path=f"/models/{manifest.served_name}")}


def readiness(manifest: Manifest) -> Readiness:
    # The state in full: the status of a version that failed may say UNAVAILABLE.
    return Readiness(port="rest", path=f"/v1/models/{manifest.served_name}", contains='"state": "AVAILABLE"')


def times(metrics: Metrics, endpoint: Endpoint) -> Times:
    """Latencies are those of successes, in microseconds. The runtime's hold its waiting for a thread or a batch."""
    door = {"model_name": endpoint.model_name, "entrypoint": "GRPC" if endpoint.protocol.endswith("_grpc") else "REST"}
    return Times(
        requests=metrics.sum(":tensorflow:serving:request_latency_count", **door),
        total_s=metrics.sum(":tensorflow:serving:request_latency_sum", **door) / 1e6,
        work_s=metrics.sum(":tensorflow:serving:runtime_latency_sum", model_name=endpoint.model_name) / 1e6,
    )
