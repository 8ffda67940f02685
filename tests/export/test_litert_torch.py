"""TFLite from PyTorch: what is run, and what is said without litert-torch; then, in the slow suite, the real one, up to the load test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from export import gate, litert_torch_child, unchanged
from export.export import export
from export.formats import _litert_torch
from export.tolerances import FLOAT32
from serveoff import artifacts, process, storage
from serveoff.console import Console
from serveoff.errors import ServeoffError
from serveoff.registry import CODE_ROOT, FORMATS, MODELS
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import tflite_names

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


@pytest.fixture(scope="module")
def converted(exported: Workspace, serveoff: Command, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """digits_cnn, converted for real."""
    assert _litert_torch.ENVIRONMENT.missing() == ""
    workspace = Workspace(tmp_path_factory.mktemp("litert") / "w")
    shutil.copytree(exported.root / "checkpoints", workspace.root / "checkpoints")
    done = serveoff("export", *MINE, workspace=workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    yield workspace
    process.end_all(process.owned(workspace.root), grace_s=0)


@pytest.mark.slow
@pytest.mark.integration
def test_it_is_verified_one_row_at_a_time_and_both_tf_serving_and_litert_know_its_names(converted: Workspace) -> None:
    (found,) = artifacts.find(converted, Selection())
    artifacts.verify(found)
    manifest = found.manifest
    assert (manifest.framework, manifest.format, manifest.fixed_batch) == ("pytorch", "tflite", 1)
    assert manifest.options["litert_torch"] == _litert_torch.ENVIRONMENT.versions()["litert-torch"]
    assert {check.case for check in manifest.parity.checks} == CASES
    assert manifest.facts is not None
    assert {calls.batch for calls in manifest.facts.latency} == {1}
    content = (found.version_dir / "model.tflite").read_bytes()
    assert tflite_names.METADATA.encode() in tflite_names.with_names(content)
    names = tflite_names.internal(content, "serving_default")
    assert {role: list(known.values()) for role, known in names.items()} == {"inputs": ["image"], "outputs": ["logits"]}


@pytest.mark.slow
@pytest.mark.integration
def test_another_converter_makes_it_anew(converted: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = artifacts.find(converted, Selection())
    checkpoint = converted.checkpoint("digits_cnn")
    known = storage.read(found.directory / unchanged.FILE, unchanged.MadeFrom)
    assert {"export/litert_torch_child.py", "export/formats/_litert_torch.py"} <= known.code.keys()
    assert unchanged.change(found.directory, checkpoint, "pytorch") == ""
    monkeypatch.setenv("SERVEOFF_LITERT_TORCH", sys.executable)
    assert re.match(r"litert-torch's \S+ was .*, and is ", unchanged.change(found.directory, checkpoint, "pytorch"))


@pytest.mark.slow
@pytest.mark.integration
def test_from_serve_to_the_load(converted: Workspace, serveoff: Command) -> None:
    """Its server has replayed the warm-up request; `serve` succeeds only after the live check over each protocol."""
    done = serveoff("serve", "--server", "embedded", "--launcher", "process", "--threads", "1", workspace=converted.root)
    assert done.returncode == 0, done.stderr + done.stdout
    done = serveoff("loadtest", "--profile", "closed:users=2,duration_s=1", "--no-calibrate", workspace=converted.root)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = converted.runs.glob("*/run.json")
    cells = storage.read(path, RunResult).cells
    assert {cell.protocol for cell in cells} == {"tfs_rest", "tfs_grpc"}
    for cell in cells:
        assert cell.measurement is not None
        assert cell.measurement.throughput_rps > 0
        assert cell.measurement.errors == {}
        assert cell.measurement.sampled > 0
        assert not cell.wrong
    assert serveoff("stop", workspace=converted.root).returncode == 0
