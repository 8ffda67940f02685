"""TFLite from PyTorch: what is run, and what is said without litert-torch; then, in the slow suite, the real one, up to the load test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from export import gate, litert_torch_child, unchanged
from export.export import export
from export.formats import _litert_torch, _warm_up
from export.tolerances import FLOAT32
from serveoff import artifacts, process, storage, tflite_names
from serveoff.console import Console
from serveoff.errors import ServeoffError
from serveoff.plugins import Artifact, ExportJob
from serveoff.registry import CODE_ROOT, FORMATS, MODELS
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.wire import tensors, tfs_pb2
from serveoff.workspace import Workspace

Command = Callable[..., "subprocess.CompletedProcess[str]"]
MINE = ("--framework", "pytorch", "--format", "tflite")
SOURCE = FORMATS.load("tflite").sources["pytorch"]
CASES = {"samples, batch 1", "all-black", "all-white", "out-of-range"}


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python that has a litert-torch, as far as it says, and notes how it is called; `tmp_path/status` is how it ends."""
    path = tmp_path / "python"
    path.write_text(
        f"""#!/bin/sh
if [ "$2" = -c ]; then echo '{{"litert-torch": "0.10.0"}}'; exit; fi
printf '%s\\n' "$@" >{tmp_path}/called
echo "unsupported: aten.fold"
exit "$(cat {tmp_path}/status)"
"""
    )
    path.chmod(0o755)
    monkeypatch.setenv("SERVEOFF_LITERT_TORCH", str(path))
    return path


def test_without_the_environment_it_is_a_skip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEOFF_LITERT_TORCH", sys.executable)  # ours has no litert-torch
    mine = Selection(models=("digits_cnn",), frameworks=("pytorch",), formats=("tflite",))
    outcomes, (skip,) = export(mine, Workspace(tmp_path), Console(quiet=True))
    assert outcomes == []
    assert skip.what == "digits_cnn.pytorch.tflite.float32"
    assert skip.reason.startswith(f"there is no litert-torch in {sys.executable}: `make litert-torch`, or name ")


def test_nobody_is_bothered_with_it_who_does_not_name_it() -> None:
    assert not SOURCE.default
    assert SOURCE.fixed_batch == 1


def test_what_the_converter_is_told(converter: Path, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("0")
    _litert_torch.convert(tmp_path / "p.pt2", "float16", Path("model.tflite"))
    said = (tmp_path / "called").read_text().splitlines()
    assert said == ["-I", "-u", litert_torch_child.__file__, str(tmp_path / "p.pt2"), "float16", "model.tflite"]


def test_another_precision_is_made_of_the_float32_file_which_stays_as_it_is(converter: Path, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("0")
    float32, made = tmp_path / "float32", tmp_path / "made"
    float32.mkdir()
    made.mkdir()
    (made / "model.tflite").write_bytes(tflite := _a_tflite_file())  # as if the converter had written it
    samples = {"image": np.arange(3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)}
    assert SOURCE.from_float32 is not None
    SOURCE.from_float32(ExportJob(MODELS.load("digits_cnn"), "pytorch", None, "int8_dynamic", made, samples), float32)
    assert (tmp_path / "called").read_text().splitlines()[3:] == [str(float32 / "model.tflite"), "int8_dynamic", str(made / "model.tflite")]
    assert list(float32.iterdir()) == []
    assert (made / "model.tflite").read_bytes() == tflite, "it has no signature whose names TF Serving could read"
    record = (made / _warm_up.FILE).read_bytes()[12:-4]  # without its length and checksums: there is but one
    request = tfs_pb2.PredictionLog.FromString(record).predict_log.request
    assert np.array_equal(tensors.read(request.inputs["image"]), samples["image"][:1])


def _a_tflite_file() -> bytes:
    builder = flatbuffers.Builder(64)
    builder.Finish(schema.ModelT(version=3, subgraphs=[], buffers=[schema.BufferT()]).Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_what_the_converter_says_last_is_the_reason(converter: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "status").write_text("3")
    with pytest.raises(ServeoffError, match=r"^litert-torch ended with exit code 3: unsupported: aten\.fold$"):
        _litert_torch.convert(tmp_path / "p.pt2", "float32", Path("model.tflite"))
    assert "aten.fold" in capfd.readouterr().err, "all that it says is in the export's log"


def test_the_program_is_read_by_the_torch_that_writes_it() -> None:
    ours, theirs = (
        re.findall(r"^(?:torch|ai-edge-litert)==.*", (CODE_ROOT / name).read_text(), re.MULTILINE)
        for name in ("constraints.txt", "constraints-litert-torch.txt")
    )
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 2


@pytest.mark.integration
def test_the_gate_sends_batches_of_the_fixed_size_only(exported: Workspace, tmp_path: Path) -> None:
    model = onnx.load(str(exported.artifacts / "digits_cnn.pytorch.onnx.float32" / "serve" / "1" / "model.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(tmp_path / "model.onnx"))
    spec, references = MODELS.load("digits_cnn"), exported.checkpoint("digits_cnn") / "reference-pytorch"
    with pytest.raises(ValueError, match="1"):
        gate.judge(spec, "model.onnx", tmp_path, references, FLOAT32)
    found = gate.judge(spec, "model.onnx", tmp_path, references, FLOAT32, fixed_batch=1).parity
    assert found.passed, found.reason
    assert {check.case for check in found.checks} == CASES


@pytest.mark.slow
@pytest.mark.integration
def test_for_real_from_the_conversion_to_the_load(
    exported: Workspace, serveoff: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test: the conversions take most of its time. float16 is made from the model here, int8_dynamic from the float32 file."""
    if reason := _litert_torch.ENVIRONMENT.missing():
        pytest.skip(reason)
    workspace = Workspace(tmp_path / "w")
    shutil.copytree(exported.root / "checkpoints", workspace.root / "checkpoints")
    for precisions in (("float16",), ("float32", "int8_dynamic")):
        done = serveoff("export", *MINE, *(f"--precision={name}" for name in precisions), workspace=workspace.root)
        assert done.returncode == 0, done.stdout + done.stderr
    found = {artifact.manifest.precision: artifact for artifact in artifacts.find(workspace, Selection())}
    assert found.keys() == SOURCE.precisions.keys()
    for artifact in found.values():
        _require_batches_of_one_and_names_that_tf_serving_and_litert_know(artifact)
    sizes = {precision: artifact.manifest.size_bytes for precision, artifact in found.items()}
    assert sizes["int8_dynamic"] < sizes["float16"] < sizes["float32"], "the weights are what was asked for"
    made_from = {precision: artifact.manifest.options.get("made_from") for precision, artifact in found.items()}
    assert made_from == {"float32": None, "float16": None, "int8_dynamic": found["float32"].manifest.id}
    try:
        _serve_and_load(workspace, serveoff)
    finally:
        process.end_all(process.owned(workspace.root), grace_s=0)
    _require_another_export_after_another_converter(found["float32"], workspace, monkeypatch)


def _require_batches_of_one_and_names_that_tf_serving_and_litert_know(artifact: Artifact) -> None:
    artifacts.verify(artifact)
    manifest = artifact.manifest
    assert (manifest.framework, manifest.format, manifest.fixed_batch) == ("pytorch", "tflite", 1)
    assert manifest.options["litert_torch"] == _litert_torch.ENVIRONMENT.versions()["litert-torch"]
    assert {check.case for check in manifest.parity.checks} == CASES
    assert manifest.facts is not None
    assert {calls.batch for calls in manifest.facts.latency} == {1}
    content = (artifact.version_dir / "model.tflite").read_bytes()
    assert tflite_names.with_names(content) is content, "TF Serving finds them, too"
    names = tflite_names.internal(content, "serving_default")
    assert {role: list(known.values()) for role, known in names.items()} == {"inputs": ["image"], "outputs": ["logits"]}


def _serve_and_load(workspace: Workspace, serveoff: Command) -> None:
    """The server has replayed the warm-up request; `serve` succeeds only after the live check over each protocol."""
    one = ("--precision", "float32", "--server", "embedded", "--launcher", "process")
    done = serveoff("serve", *one, "--threads", "1", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    done = serveoff("loadtest", "--profile", "closed:users=2,duration_s=1", "--no-calibrate", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = workspace.runs.glob("*/run.json")
    cells = storage.read(path, RunResult).cells
    assert {cell.protocol for cell in cells} == {"tfs_rest", "tfs_grpc"}
    for cell in cells:
        assert cell.measurement is not None
        assert cell.measurement.throughput_rps > 0
        assert cell.measurement.errors == {}
        assert cell.measurement.sampled > 0
        assert not cell.wrong


def _require_another_export_after_another_converter(artifact: Artifact, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = workspace.checkpoint("digits_cnn")
    known = storage.read(artifact.directory / unchanged.FILE, unchanged.MadeFrom)
    assert {"export/litert_torch_child.py", "export/formats/_litert_torch.py"} <= known.code.keys()
    assert unchanged.change(artifact.directory, checkpoint, "pytorch") == ""
    monkeypatch.setenv("SERVEOFF_LITERT_TORCH", sys.executable)
    assert re.match(r"litert-torch's \S+ was .*, and is ", unchanged.change(artifact.directory, checkpoint, "pytorch"))
