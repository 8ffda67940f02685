"""What TF Serving and the embedded server share: the command line of `tensorflow_model_server`, its ports, protocols and readiness."""

from __future__ import annotations

from pathlib import Path

from serveoff.contract import Manifest, Mount, Readiness

PORTS = {"grpc": 8500, "rest": 8501}
PROTOCOLS = {"tfs_rest": "rest", "tfs_grpc": "grpc"}


def arguments(manifest: Manifest, threads: int) -> tuple[str, ...]:
    return (
        "--port={port.grpc}",
        "--rest_api_port={port.rest}",
        f"--model_name={manifest.model}",
        "--model_base_path={mount.models}",
        f"--tensorflow_session_parallelism={threads}",
        "--max_num_load_retries=0",  # else a model that does not load is tried again for five minutes before anybody hears of it
    )


def mounts(manifest: Manifest, models: Path) -> dict[str, Mount]:
    """`models` holds the version folders."""
    return {"models": Mount(host_path=str(models), container_path=f"/models/{manifest.model}")}


def readiness(manifest: Manifest) -> Readiness:
    # The state in full: the status of a version that failed may say UNAVAILABLE.
    return Readiness(port="rest", path=f"/v1/models/{manifest.model}", contains='"state": "AVAILABLE"')
