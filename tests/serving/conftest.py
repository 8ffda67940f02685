"""A tiny real server, and an artifact that it serves: what launchers and `serve` are tested with."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from serveoff import artifacts, host, process, reference, storage
from serveoff.contract import Manifest, Parity, ParityCheck, TensorSpec, Tolerance
from serveoff.launch import LaunchSpec, Readiness
from serveoff.plugins import Artifact
from serveoff.workspace import Workspace

MakeArtifact = Callable[..., Artifact]
TinySpec = Callable[..., LaunchSpec]
TINY_SERVER = Path(__file__).with_name("launchers") / "tiny_server.py"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An empty workspace; whatever still runs for it after the test is ended."""
    workspace = Workspace(tmp_path / "workspace")
    yield workspace
    process.end_all(process.owned(workspace.root), grace_s=0)


@pytest.fixture
def make_artifact(workspace: Workspace) -> MakeArtifact:
    """Makes an artifact `MODEL.pytorch.FORMAT.float32`: y = 2x."""
    return functools.partial(_make_artifact, workspace)


@pytest.fixture
def tiny_spec() -> TinySpec:
    """How to run `tiny_server.py` for an artifact, with a behaviour of it."""
    return _tiny_spec


def _make_artifact(workspace: Workspace, model: str, form: str = "tiny") -> Artifact:
    directory = workspace.artifacts / f"{model}.pytorch.{form}.float32"
    (directory / "serve" / "1").mkdir(parents=True)
    (directory / "serve" / "1" / "model.tiny").write_text(model)
    x = np.arange(24, dtype=np.float32).reshape(8, 3)
    reference.save(directory / "reference.npz", reference.Reference({"x": x}, {"y": 2 * x}, np.zeros(8, np.int64)))
    check = ParityCheck(case="by hand", output="y", batch=8, max_abs=0.0, max_rel=0.0, passed=True)
    manifest = Manifest(
        model=model,
        framework="pytorch",
        format=form,
        precision="float32",
        serve_file="model.tiny",
        files=artifacts.records(directory, "serve"),
        inputs=(TensorSpec(name="x", dtype="float32", shape=(None, 3)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 3)),),
        options={},
        parity=Parity(tolerance=Tolerance(atol=0, rtol=0, source="exact"), checks=(check,)),
        weights_sha256="",
        size_bytes=len(model),
        export_s=0.0,
        peak_memory_bytes=0,
        command=(),
        created_at="2026-01-01T00:00:00+00:00",
        host=host.facts(),
    )
    storage.write(directory / artifacts.MANIFEST, manifest)
    return artifacts.read(directory)


def _tiny_spec(artifact: Artifact, behaviour: str = "good", timeout_s: float = 60, threads: int = 1) -> LaunchSpec:
    return LaunchSpec(
        server="tiny",
        artifact_id=artifact.manifest.id,
        model_name=artifact.manifest.model,
        binary=sys.executable,
        argv=(str(TINY_SERVER), "{port.rest}", "--host", "{host}", "--behaviour", behaviour),
        ports={"rest": 8080},
        protocols={"tiny_rest": "rest"},
        files={"told.txt": "port {port.rest}, {not.a.slot}"},
        env={"TOLD": "{file.told.txt}"},
        threads=threads,
        readiness=Readiness(port="rest", path="/ready", contains="ready", timeout_s=timeout_s),
    )
