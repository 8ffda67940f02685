"""Weights that are too large for one ONNX file lie beside it, and whatever reads the file finds them there. Here too large is small."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.quantisation import quantise
from serveoff import artifacts, onnx_file, process
from serveoff.console import Console
from serveoff.plugins import Artifact
from serveoff.registry import RUNTIMES
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import serve, targets, torchserve_archive

CHILD = Path(__file__).with_name("child_small_files.py")
ROWS = {"x": np.random.default_rng(1).normal(size=(32, 64)).astype(np.float32)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A product with 64 x 64 weights, 16 KiB, not written yet."""
    (tmp_path / "1").mkdir()
    return tmp_path / "1" / "model.onnx"


@pytest.fixture
def model() -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 64])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 64])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def files(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def answers(path: Path) -> np.ndarray:
    loaded = RUNTIMES.load("onnxruntime").load(path.parent, threads=1)
    try:
        return loaded.run("serving_default", ROWS)["y"]
    finally:
        loaded.close()


@pytest.mark.parametrize(("limit", "beside"), [(16_384, True), (16_385, False)])
def test_from_the_limit_on(path: Path, model: onnx.ModelProto, limit: int, beside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "ONE_FILE_BYTES", limit)
    expected = ROWS["x"] @ onnx.numpy_helper.to_array(model.graph.initializer[0])
    for _ in range(2):  # what is there is replaced
        onnx_file.save(onnx.ModelProto.FromString(model.SerializeToString()), path)
        assert files(path) == ({"model.onnx", "model.onnx.data"} if beside else {"model.onnx"})
        assert (path.stat().st_size > 16_384) != beside
        np.testing.assert_allclose(answers(path), expected, rtol=1e-4, atol=1e-4)
    if beside:
        assert onnx_file.beside(path).stat().st_size == 16_384
        assert onnx_file.beside(path).stat().st_mode == path.stat().st_mode, "a server in an image is another user"


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
@pytest.mark.parametrize(("limit", "beside"), [(3_000, True), (10_000, False)], ids=["still too large", "small enough"])
def test_int8_of_it(path: Path, model: onnx.ModelProto, precision: str, limit: int, beside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "ONE_FILE_BYTES", limit)
    onnx_file.save(model, path)
    exact = answers(path)
    apart = path.parents[1] / "int8" / "model.onnx"
    apart.parent.mkdir()
    for place in (apart, path):  # into another folder, or instead of it
        quantise(path, place, precision, ROWS)
        assert files(place) == ({"model.onnx", "model.onnx.data"} if beside else {"model.onnx"})
        assert sum(each.stat().st_size for each in place.parent.iterdir()) < 8_192
        assert 0 < np.abs(answers(place) - exact).max() < 0.03 * np.abs(exact).max()


def export(source: Workspace, framework: str, precision: str, limit: int, out: Path, *more: str) -> Artifact:
    """One export in a process of its own in which one file holds only so many bytes."""
    cell = ("--model", "digits_cnn", "--framework", framework, "--format", "onnx", "--precision", precision)
    command = [sys.executable, "-P", str(CHILD), str(limit), *cell, "--checkpoint", str(source.checkpoint("digits_cnn")), "--out", str(out)]
    environment = process.environment(source.root, {"KERAS_BACKEND": "tensorflow"})
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return artifacts.read(out)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("framework", ["pytorch", "keras"])
def test_exported_verified_packed_and_served(exported: Workspace, tmp_path: Path, framework: str) -> None:
    both = {"serve/1/model.onnx", "serve/1/model.onnx.data"}
    workspace = Workspace(tmp_path / "w")
    float32 = export(exported, framework, "float32", 10_000, workspace.artifacts / f"digits_cnn.{framework}.onnx.float32")
    sizes = {file.path: file.size_bytes for file in float32.manifest.files}
    assert sizes.keys() == {*both, "reference.npz"}
    assert sizes["serve/1/model.onnx.data"] > 100_000 > sizes["serve/1/model.onnx"]
    artifacts.verify(float32)
    torchserve_archive.write(float32, tmp_path / "m.mar")
    with zipfile.ZipFile(tmp_path / "m.mar") as archive:
        assert archive.read("model.onnx.data") == (float32.version_dir / "model.onnx.data").read_bytes()
    begun = export(exported, framework, "int8_dynamic", 10_000, tmp_path / "begun", "--float32", str(float32.directory))
    assert {file.path for file in begun.manifest.files} == {*both, "reference.npz"}
    outcomes, skips = serve.serve(Selection(servers=("embedded",), launchers=("process",)), workspace, Console(quiet=True), threads=1)
    try:
        serve.verdict(outcomes, skips)
        assert [outcome.target is not None for outcome in outcomes] == [True], "its answers were compared over both protocols"
    finally:
        targets.stop(workspace, Selection())
