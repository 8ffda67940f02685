"""Exports that were broken on purpose do not pass the gate."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from export import gate, given, tolerances, worker
from export.tolerances import FLOAT32, INT8
from serveoff import own_models, reference, storage
from serveoff.contract import Parity, Tolerance
from serveoff.plugins import ExportJob, Source, Tensors
from serveoff.registry import MODELS
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration
Change = Callable[[np.ndarray], None]


def judge(workspace: Workspace, directory: Path, tolerance: Tolerance) -> Parity:
    references = workspace.checkpoint("digits_cnn") / "reference-pytorch"
    return gate.judge(MODELS.load("digits_cnn"), "model.onnx", directory, references, tolerance).parity


@pytest.fixture
def path(exported: Workspace, tmp_path: Path) -> Path:
    """A good export, to be broken."""
    copied = shutil.copy(exported.artifacts / "digits_cnn.pytorch.onnx.float32" / "serve" / "1" / "model.onnx", tmp_path)
    return Path(copied)


def change(path: Path, name: str, by: Change) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    tensor = next(i for i in model.graph.initializer if i.name == name)
    values = numpy_helper.to_array(tensor).copy()
    by(values)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, str(path))


def calibrate(path: Path, samples: Tensors) -> None:
    from export.quantisation import quantise

    quantise(path, path, "int8", samples)


@pytest.mark.parametrize(
    ("name", "by", "reason"),
    [
        ("logits.bias", lambda weights: weights.__setitem__(3, weights[3] + 0.01), "values differ"),
        ("logits.weight", lambda weights: weights.__setitem__((0, 0), np.nan), "NaN"),
        ("logits.weight", lambda weights: weights.__setitem__([0, 1], weights[[1, 0]]), "values differ"),
    ],
    ids=["one weight changed", "one NaN", "outputs swapped"],
)
def test_a_changed_weight_is_caught(exported: Workspace, path: Path, name: str, by: Change, reason: str) -> None:
    assert judge(exported, path.parent, FLOAT32).passed
    change(path, name, by)
    verdict = judge(exported, path.parent, FLOAT32)
    assert not verdict.passed
    assert reason in verdict.reason


def test_a_transposed_input_is_caught(exported: Workspace, path: Path) -> None:
    import onnx

    model = onnx.load(str(path))
    for node in model.graph.node:
        node.input[:] = ["transposed" if name == "image" else name for name in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Transpose", ["image"], ["transposed"], perm=[0, 2, 1]))
    onnx.save(model, str(path))
    assert "values differ" in judge(exported, path.parent, FLOAT32).reason


def test_int8_is_judged_by_its_decisions(exported: Workspace, path: Path) -> None:
    samples = reference.load(exported.checkpoint("digits_cnn") / "reference-pytorch" / "samples.npz")
    calibrate(path, samples.inputs)
    found = gate.judge(MODELS.load("digits_cnn"), "model.onnx", path.parent, exported.checkpoint("digits_cnn") / "reference-pytorch", INT8)
    assert found.parity.passed, found.parity.reason
    assert found.parity.max_abs > 10 * FLOAT32.atol, "its values are other values"
    assert found.own is not None
    assert found.served is not None
    assert found.served.atol < found.parity.max_abs, "a server is compared with the artifact's own answers, and more closely"
    assert not judge(exported, path.parent, FLOAT32).passed


@pytest.mark.parametrize(("labelled", "drawn"), [(True, False), (False, False), (False, True)])
def test_int8_that_was_calibrated_on_noise_is_caught(exported: Workspace, path: Path, tmp_path: Path, labelled: bool, drawn: bool) -> None:
    known = reference.load(exported.checkpoint("digits_cnn") / "reference-pytorch" / "samples.npz")
    noise = np.random.default_rng(0).normal(0, 1e-2, (64, 8, 8)).astype(np.float32)
    calibrate(path, {"image": noise})
    labels = known.labels if labelled else np.full_like(known.labels, -1)
    reference.save(tmp_path / "answers" / "samples.npz", reference.Reference(known.inputs, known.outputs, labels))
    tolerance = tolerances.drawn(INT8) if drawn else INT8
    verdict = gate.judge(MODELS.load("digits_cnn"), "model.onnx", path.parent, tmp_path / "answers", tolerance).parity
    assert not verdict.passed
    assert "rows decide differently" in verdict.reason
    assert (verdict.metric is not None) == labelled


def test_only_weights_that_were_drawn_are_let_off(exported: Workspace, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker reads from the twins' proof what the weights are; the artifact and the samples (without labels) are the same each time."""
    known = reference.load(exported.checkpoint("digits_cnn") / "reference-pytorch" / "samples.npz")
    calibrate(path, {"image": known.inputs["image"] * np.float32(0.3)})  # brighter pixels are cut off
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(exported.checkpoint("digits_cnn"), checkpoint)
    answers = reference.Reference(known.inputs, known.outputs, np.full_like(known.labels, -1))
    reference.save(checkpoint / "reference-pytorch" / "samples.npz", answers)

    def copied(job: ExportJob) -> dict[str, str | int | float | bool]:
        shutil.copy(path, job.directory)
        return {}

    monkeypatch.setattr(given, "source_of", lambda *_: Source(precisions={"int8": INT8}, requires=(), export=copied))
    monkeypatch.setattr(worker, "_build", lambda *_: None)

    def export(number: int, trained: bool, weights_given: str) -> str:
        proof = storage.read(checkpoint / own_models.FINISHED, TwinProof)
        storage.write(checkpoint / own_models.FINISHED, msgspec.structs.replace(proof, trained=trained, weights_given=weights_given))
        cell = {"model": "digits_cnn", "framework": "pytorch", "format": "onnx", "precision": "int8"}
        given = {"checkpoint": checkpoint, "out": tmp_path / str(number), "float32": None, "threads": 1, "metric_ratio": 0.99}
        return worker.export(argparse.Namespace(**cell, **given))

    assert export(0, trained=False, weights_given="") == ""
    assert "rows decide differently" in export(1, trained=False, weights_given="weights.pt")
    assert "rows decide differently" in export(2, trained=True, weights_given="")
    assert export(3, trained=False, weights_given="") == ""
