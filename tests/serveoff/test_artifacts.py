from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff import artifacts, storage
from serveoff.contract import HostFacts, Manifest, Parity, ParityCheck, Tolerance
from serveoff.errors import InputError
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serveoff.workspace import Workspace

ID = "digits_cnn.pytorch.onnx.float32"
CHECK = ParityCheck(case="by hand", output="y", batch=1, max_abs=0, max_rel=0, passed=True)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A finished artifact of one small file, with the empty folder that a SavedModel has."""
    directory = tmp_path / "artifacts" / ID
    (directory / "serve" / "1" / "assets").mkdir(parents=True)
    (directory / "serve" / "1" / "model.onnx").write_bytes(b"model")
    manifest = Manifest(
        model="digits_cnn",
        framework="pytorch",
        format="onnx",
        precision="float32",
        serve_file="model.onnx",
        files=artifacts.records(directory, "serve"),
        inputs=(),
        outputs=(),
        options={},
        parity=Parity(tolerance=Tolerance(atol=0, rtol=0, source="a test"), checks=(CHECK,)),
        weights_sha256="",
        size_bytes=5,
        export_s=1,
        peak_memory_bytes=1,
        command=(),
        created_at="",
        host=HostFacts(cpu_model="", logical_cores=1, memory_bytes=1, system="", python="", packages={}),
    )
    storage.write(directory / artifacts.MANIFEST, manifest)
    return artifacts.read(directory)


def found(tmp_path: Path) -> list[Path]:
    return [a.directory for a in artifacts.find(Workspace(tmp_path), Selection())]


def test_only_a_finished_artifact_under_its_own_name_is_found(artifact: Artifact, tmp_path: Path) -> None:
    assert found(tmp_path) == [artifact.directory]
    for name in (f".staging-{ID}", f".old-{ID}", f"{ID} (copy)"):
        shutil.copytree(artifact.directory, artifact.directory.with_name(name))
    assert found(tmp_path) == [artifact.directory]


def test_what_was_added_under_serve_is_refused(artifact: Artifact) -> None:
    artifacts.verify(artifact)
    additions: dict[str, Callable[[Path], object]] = {
        "serve/2/model.onnx": lambda path: storage.write_bytes(path, b"another model"),
        "serve/1/model.onnx.data": lambda path: path.write_bytes(b"weights"),
        "serve/3": lambda path: path.mkdir(),
        "serve/4": lambda path: path.symlink_to(artifact.version_dir),
    }
    for name, add in additions.items():
        path = artifact.directory / name
        add(path)
        with pytest.raises(InputError, match="was not there when the artifact was verified"):
            artifacts.verify(artifact)
        shutil.rmtree(artifact.serve_dir)
        (artifact.version_dir / "assets").mkdir(parents=True)
        (artifact.version_dir / "model.onnx").write_bytes(b"model")
    artifacts.verify(artifact)
