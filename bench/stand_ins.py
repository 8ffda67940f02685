"""Fixed servers on record as running targets, in a workspace of their own, so that the real load test finds and loads them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from bench import fixed_server
from serveoff import host, process, reference, storage
from serveoff.contract import Manifest, Parity, ParityCheck, TensorSpec, Tolerance
from serveoff.launch import Endpoint, Target
from serveoff.workspace import Workspace

ARTIFACT = "sums.pytorch.onnx.float32"
_CALIBRATIONS = 7


class StandIns:
    """A workspace with one artifact; each `start` adds a running target. `close` ends them all."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self._running: list[subprocess.Popen[str]] = []
        _write_artifact(self.workspace.artifacts / ARTIFACT)

    def start(self, name: str, *options: str, prefix: Sequence[str] = ()) -> Target:
        """Run a fixed server with `options`; `prefix` may pin it to a core."""
        identity = f"{ARTIFACT}@{name}.process"
        server = subprocess.Popen(
            [*prefix, sys.executable, "-P", "-m", "bench.fixed_server", *options],
            stdout=subprocess.PIPE,
            text=True,
            env=dict(process.environment(self.workspace.root, {"PYTHONPATH": str(Path(__file__).resolve().parents[1])})),
        )
        self._running.append(server)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        target = Target(
            id=identity,
            server=name,
            launcher="process",
            artifact_id=ARTIFACT,
            artifact_path=str(self.workspace.artifacts / ARTIFACT),
            endpoints=(Endpoint(protocol="tfs_rest", host="127.0.0.1", port=port, model_name="sums"),),
            threads=1,
            pid=server.pid,
            pid_started_at=psutil.Process(server.pid).create_time(),
            log=str(self.workspace.targets / identity / "log.txt"),
            command=(),
            started_at="2026-01-01T00:00:00+00:00",
            ready_s=0.0,
        )
        served = storage.read(self.workspace.artifacts / ARTIFACT / "manifest.json", Manifest)
        storage.write(self.workspace.targets / identity / "manifest.json", served)
        storage.write(self.workspace.targets / identity / "target.json", target)
        return target

    def close(self) -> None:
        for server in self._running:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()


def units_for(milliseconds: float) -> int:
    """How many units of work take so long here, in the fastest of several tries."""
    tries = []
    for _ in range(_CALIBRATIONS):
        start = time.perf_counter()
        fixed_server.burn(200)
        tries.append(time.perf_counter() - start)
    return max(1, round(200 * milliseconds / 1000 / min(tries)))


def _write_artifact(directory: Path) -> None:
    """y = [sum(x), x[0]] of four float32 values, with 100 samples."""
    inputs = np.random.default_rng(5).normal(size=(100, 4)).astype(np.float32)
    outputs = np.stack([inputs.sum(axis=1), inputs[:, 0]], axis=1)
    known = reference.Reference(inputs={"x": inputs}, outputs={"y": outputs}, labels=np.zeros(100, np.int64))
    reference.save(directory / "reference.npz", known)
    check = ParityCheck(case="samples", output="y", batch=100, max_abs=0, max_rel=0, passed=True)
    manifest = Manifest(
        model="sums",
        framework="pytorch",
        format="onnx",
        precision="float32",
        serve_file="model.onnx",
        files=(),
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 4)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 2)),),
        options={},
        parity=Parity(tolerance=Tolerance(atol=1e-4, rtol=1e-4, source="bench"), checks=(check,)),
        weights_sha256="0",
        size_bytes=1,
        export_s=0,
        peak_memory_bytes=1,
        command=(),
        created_at="2026-01-01T00:00:00+00:00",
        host=host.facts(),
    )
    storage.write(directory / "manifest.json", manifest)
