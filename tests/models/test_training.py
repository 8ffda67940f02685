from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from models.train import prove_twins, read_records
from serveoff import artifacts, reference, storage
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration


def test_both_frameworks_learn_and_the_twins_are_equal(exported: Workspace) -> None:
    folder = exported.checkpoint("digits_cnn")
    records = read_records(folder)
    assert [r.framework for r in records] == ["keras", "pytorch"]
    for record in records:
        first, last = record.validation_curve
        assert 0.3 < first < last, "two epochs are enough to see it learn"
        assert record.parameters == sum(v for v in (16 * 9 + 16, 32 * 16 * 9 + 32, 512 * 64 + 64, 64 * 10 + 10))
        assert record.seconds > sum(record.epoch_s) > 0
        assert record.initial_from == "pytorch"
        assert record.loss_curve[1] < record.loss_curve[0]
    keras, pytorch = records
    assert keras.initial_sha256 == pytorch.initial_sha256 == artifacts.digest(folder / "initial-0.safetensors")
    assert keras.loss_curve == pytest.approx(pytorch.loss_curve, rel=1e-3), "the same weights and batches: the same losses"
    proof = storage.read(folder / "twin.json", TwinProof)
    assert proof.weights_from == "pytorch"
    assert proof.parity is not None
    assert proof.parity.passed
    assert {c.case for c in proof.parity.checks} == {"samples", "all-black", "all-white", "out-of-range"}


def test_twins_that_differ_are_caught(exported: Workspace, tmp_path: Path) -> None:
    for framework in ("keras", "pytorch"):
        known = reference.load(exported.checkpoint("digits_cnn") / f"reference-{framework}" / "samples.npz")
        changed = {"logits": known.outputs["logits"] + (1e-2 if framework == "keras" else 0)}
        reference.save(tmp_path / f"reference-{framework}" / "samples.npz", reference.Reference(known.inputs, changed, known.labels))
    proof = prove_twins(tmp_path, ("pytorch", "keras"))
    assert proof is not None
    assert not proof.passed
    assert proof.max_abs == pytest.approx(1e-2, rel=0.1)


def test_one_framework_alone_has_no_twin(tmp_path: Path) -> None:
    assert prove_twins(tmp_path, ("pytorch",)) is None


@pytest.mark.slow
def test_a_framework_that_is_not_selected_still_answers_with_the_weights(
    serveoff: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = serveoff("train", "--framework", "keras", "--epochs", "1", "--json", workspace=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [r["framework"] for r in result["training"]] == ["keras"]
    assert result["twins"][0]["weights_from"] == "keras"
    assert all(c["passed"] for c in result["twins"][0]["parity"]["checks"])
