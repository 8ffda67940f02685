"""Recorded runs: the structs of a load test, filled through real HDR histograms from seeded samples."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from hdrh.histogram import HdrHistogram

from serveoff.contract import FileRecord, Framework, HostFacts, Manifest, MetricGate, Parity, ParityCheck, Skip, TensorSpec, Tolerance
from serveoff.launch import Endpoint, Target
from serveoff.results import Cell, Interval, LoadPlan, Measurement, ProfileChoice, RunResult
from serveoff.training import TrainingRecord, TwinProof

Samples = npt.NDArray[np.int64]

HOST = HostFacts(
    cpu_model="Recorded CPU @ 2.50GHz",
    logical_cores=2,
    memory_bytes=8 * 2**30,
    system="Linux 6.1",
    python="3.11.9",
    packages={"torch": "2.13.0", "tensorflow": "2.21.0", "locust": "2.47.0"},
)
CLOSED = ProfileChoice(name="closed", options={"users": 8.0, "duration_s": 8.0})
CONSTANT = ProfileChoice(name="constant", options={"rate_rps": 200.0, "connections": 32.0, "duration_s": 8.0})
WINDOW_S = 8.0
TRAINED: tuple[tuple[Framework, float], ...] = (("pytorch", 0.9861), ("keras", 0.9833))
REASON = "the load process used 97 % of its core"


def encode(samples: Iterable[int]) -> str:
    histogram = HdrHistogram(1, 60_000_000, 3)
    for value in samples:
        assert histogram.record_value(int(value))
    blob: bytes = histogram.encode()
    return blob.decode()


def parity(max_abs: float = 1.2e-6, passed: bool = True, reason: str = "") -> Parity:
    check = ParityCheck(case="random batch 3", output="logits", batch=3, max_abs=max_abs, max_rel=1e-6, passed=passed, reason=reason)
    return Parity(
        tolerance=Tolerance(atol=1e-5, rtol=1.3e-6, source="torch.testing"),
        checks=(check,),
        metric=MetricGate(name="accuracy", source=0.9861, artifact=0.9861, minimum_ratio=0.99, passed=True),
    )


def manifest(framework: Framework, form: str, size: int = 160_000, model: str = "digits_cnn", precision: str = "float32") -> Manifest:
    return Manifest(
        model=model,
        framework=framework,
        format=form,
        precision=precision,
        serve_file=f"model.{form}",
        files=(FileRecord(path=f"serve/1/model.{form}", size_bytes=size, sha256="0" * 64),),
        inputs=(TensorSpec(name="image", dtype="float32", shape=(None, 8, 8, 1)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, 10)),),
        options={},
        parity=parity(),
        weights_sha256="1" * 64,
        size_bytes=size,
        export_s=3.25,
        peak_memory_bytes=500_000_000,
        command=("python", "-m", "export.worker"),
        created_at="2026-08-20T10:00:00+00:00",
        host=HOST,
    )


def measurement(
    samples: Samples, offered_rps: float | None = None, errors: dict[str, int] | None = None, texts: dict[str, str] | None = None
) -> Measurement:
    """`samples`: latencies in microseconds, in the order of the run, spread evenly over its eight seconds."""
    failed = errors or {}
    parts = np.array_split(samples, int(WINDOW_S))
    return Measurement(
        window_s=WINDOW_S,
        cut_s=(2.0, 0.5),
        requests=len(samples) + sum(failed.values()),
        errors=failed,
        error_texts=texts or {},
        unsent=0,
        offered_rps=offered_rps,
        throughput_rps=len(samples) / WINDOW_S,
        connections=8,
        latency_hdr=encode(samples),
        service_hdr=encode(samples),
        intervals=tuple(
            Interval(start_s=float(second), requests=len(part), errors=0, latency_hdr=encode(part)) for second, part in enumerate(parts)
        ),
        client_cpu=0.41,
        raw="raw/0.bin",
    )


def cell(
    server: str,
    artifact: Manifest,
    protocol: str,
    profile: ProfileChoice,
    measured: Measurement | None,
    reasons: tuple[str, ...] = (),
    live: Parity | None = None,
    number: int = 1,
    attempt: int = 1,
) -> Cell:
    encoding = "binary" if protocol.endswith("grpc") else "json"
    target = Target(
        id=f"{artifact.id}.{server}",
        server=server,
        launcher="process",
        artifact_id=artifact.id,
        artifact_path=f"/workspace/artifacts/{artifact.id}",
        endpoints=(Endpoint(protocol=protocol, host="127.0.0.1", port=8501, model_name=artifact.model),),
        threads=1,
        log="/workspace/log.txt",
        command=("server",),
        started_at="2026-08-20T10:01:00+00:00",
        ready_s=1.75,
    )
    return Cell(
        target=target,
        manifest=artifact,
        protocol=protocol,
        encoding=encoding,
        profile=profile,
        payload_bytes=301 if encoding == "binary" else 612,
        reply_bytes=96,
        live_check=live or parity(2.4e-7),
        measurement=measured,
        verdict="INVALID" if reasons else "VALID",
        reasons=reasons,
        round=number,
        attempt=attempt,
    )


def run(cells: Iterable[Cell], skips: tuple[Skip, ...] = (), run_id: str = "20260820-100000", rounds: int = 1) -> RunResult:
    training = tuple(
        TrainingRecord(
            model="digits_cnn",
            framework=framework,
            epochs=20,
            seed=7,
            seconds=4.5,
            parameters=9_930,
            metric="accuracy",
            validation_curve=(0.91, 0.97, last),
            weights_sha256="1" * 64,
            host=HOST,
        )
        for framework, last in TRAINED
    )
    return RunResult(
        run_id=run_id,
        serveoff_version="0.1.0",
        created_at="2026-08-20T10:05:00+00:00",
        seconds=131.5,
        plan=LoadPlan(profiles=(CLOSED, CONSTANT), warmup_s=0.5, timeout_s=10.0, seed=1, rounds=rounds),
        host=HOST,
        cells=tuple(cells),
        skips=skips,
        training=training,
        twins=(TwinProof(model="digits_cnn", weights_from="pytorch", weights_sha256="1" * 64, parity=parity(9.5e-7)),),
    )


def lognormal(median_us: float, n: int, seed: int, sigma: float = 0.25) -> Samples:
    rng = np.random.default_rng(seed)
    values = median_us * np.exp(sigma * rng.standard_normal(n))
    slow = rng.random(n) < 0.01
    return np.where(slow, values * 4, values).astype(np.int64)


ROWS: tuple[tuple[str, Framework, str, str, float], ...] = (
    ("embedded", "keras", "savedmodel", "tfs_rest", 620),
    ("embedded", "keras", "savedmodel", "tfs_grpc", 540),
    ("embedded", "keras", "tflite", "tfs_rest", 480),
    ("embedded", "keras", "tflite", "tfs_grpc", 412),
    ("embedded", "pytorch", "torchscript", "tfs_rest", 660),
    ("embedded", "pytorch", "torchscript", "tfs_grpc", 590),
    ("embedded", "pytorch", "onnx", "tfs_rest", 500),
    ("embedded", "pytorch", "onnx", "tfs_grpc", 430),
    ("torchserve", "pytorch", "torchscript", "torchserve_rest", 3900),
    ("torchserve", "pytorch", "torchscript", "torchserve_grpc", 4300),
    ("torchserve", "pytorch", "onnx", "torchserve_rest", 3600),
    ("torchserve", "pytorch", "onnx", "torchserve_grpc", 4100),
)


def recorded() -> RunResult:
    """The default matrix: four formats, two servers, four protocols, two profiles; one row INVALID, one never measured, one short."""
    cells = []
    for index, (server, framework, form, protocol, median_us) in enumerate(ROWS):
        artifact = manifest(framework, form, size=120_000 + 40_000 * index)
        steady = lognormal(median_us, 640 if index == 11 else 1600, seed=index)
        cells.append(cell(server, artifact, protocol, CONSTANT, measurement(steady, offered_rps=200.0)))
        if index == 10:
            cells.append(cell(server, artifact, protocol, CLOSED, None, ("the server died after 3 s, exit 137",)))
            continue
        busy = lognormal(median_us * 5, int(WINDOW_S * 8e6 / (median_us * 5.2)), seed=100 + index)
        failed = {"timeout": 3, "overload": 2} if index == 8 else {}
        measured = measurement(busy, errors=failed, texts={"timeout": "no reply in 10 s"} if failed else {})
        cells.append(cell(server, artifact, protocol, CLOSED, measured, (REASON,) if index == 0 else ()))
    skips = (Skip(stage="serve", what="tfserving", reason="no docker command, and no tensorflow_model_server on PATH"),)
    return run(cells, skips)


@pytest.fixture(scope="session")
def recorded_run() -> RunResult:
    return recorded()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The builders above, for runs of a test's own."""
    return SimpleNamespace(
        CLOSED=CLOSED,
        CONSTANT=CONSTANT,
        cell=cell,
        encode=encode,
        lognormal=lognormal,
        manifest=manifest,
        measurement=measurement,
        parity=parity,
        run=run,
    )
