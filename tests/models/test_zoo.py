from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from loadtests.payloads import COUNT as ENOUGH
from models.train import prove_twins
from serveoff import reference
from serveoff.cli.settings import select
from serveoff.errors import UsageError
from serveoff.registry import CODE_ROOT, MODELS
from serveoff.selection import Selection

SMALL = ("alexnet@63", "bert_tiny@16", "gnmt_v2@32", "mobilenet_v2@64", "ncf@8", "resnet50@32", "vgg19@32")
UNTRAINED = [name for name in MODELS.names if MODELS.load(name).dataset is None]


def answered(folder: Path, names: Iterable[str]) -> Path:
    """Every model's answers from both frameworks, in a process for each framework."""
    env = {**os.environ, "PYTHONPATH": str(CODE_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    for framework in ("pytorch", "keras"):
        program = Path(__file__).with_name("child_twins.py")
        child = subprocess.run(
            [sys.executable, str(program), framework, str(folder), *names], env=env, capture_output=True, text=True, check=False
        )
        assert child.returncode == 0, child.stderr
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answered(tmp_path_factory.mktemp("small"), SMALL)


def test_every_model_without_data_is_among_them() -> None:
    assert [name.partition("@")[0] for name in SMALL] == UNTRAINED


@pytest.mark.parametrize("name", [*SMALL, "digits_cnn"])
def test_samples_are_many_different_ones_of_the_models_kind(name: str) -> None:
    spec = MODELS.load(name)
    inputs, _ = spec.evaluation()
    rows = len(next(iter(inputs.values())))
    for tensor in spec.inputs:
        value = inputs[tensor.name]
        assert (value.dtype.name, value.shape) == (tensor.dtype, (rows, *tensor.shape[1:]))
        assert np.isfinite(value).all()
    flat = np.concatenate([np.asarray(value, np.float64).reshape(rows, -1) for value in inputs.values()], axis=1)
    assert len(np.unique(flat[:ENOUGH], axis=0)) == ENOUGH, "a load sends that many, and no cache can answer one for another"
    assert flat.any(axis=1).all(), "no row is all zeros"
    images = [value for value in inputs.values() if value.dtype == np.float32]
    texts = [value for value in inputs.values() if value.dtype == np.int64 and value.ndim == 2]
    assert all(value.std() > 0.1 for value in images)
    assert all((value == 0).any() and (value[:, 0] != 0).all() and (value >= 0).all() for value in texts), "words, then padding"


@pytest.mark.integration
@pytest.mark.parametrize("name", SMALL)
def test_twins_are_equal(small: Path, name: str) -> None:
    proof = prove_twins(small / name, ("pytorch", "keras"))
    assert proof is not None
    assert proof.passed, proof.reason
    assert len({c.batch for c in proof.checks}) >= 3, "several batch sizes"
    samples = reference.load(small / name / "reference-pytorch" / "samples.npz")
    for output in samples.outputs.values():
        assert len(np.unique(output, axis=0)) > samples.rows / 2, "the answers depend on the inputs"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", UNTRAINED)
def test_twins_are_equal_at_full_size(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = prove_twins(answered(tmp_path, [name]) / name, ("pytorch", "keras"))
    assert proof is not None
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: largest difference {proof.max_abs:.2e}\n")
    assert proof.passed, proof.reason


@pytest.mark.parametrize(("name", "rows"), [("resnet50@64", 64), ("mobilenet_v2", 32)])
def test_large_pictures_are_fewer(name: str, rows: int) -> None:
    samples = MODELS.load(name).samples
    assert samples is not None
    assert len(np.unique(samples()["image"], axis=0)) == rows


def test_a_size_is_a_model_of_its_own() -> None:
    assert MODELS.load("resnet50@64").inputs[0].shape == (None, 64, 64, 3)
    assert MODELS.proper("resnet50@224") == MODELS.proper("resnet50") == "resnet50"
    assert MODELS.proper("resnet50@064") == "resnet50@64"
    assert MODELS.proper("resnet50@small") == "resnet50@32"
    assert MODELS.proper("digits_cnn@small") == "digits_cnn"
    assert select(models=["all@small", "ncf@small"]).models_to_make() == [MODELS.proper(f"{name}@small") for name in MODELS.names]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("resnet50@8", "'resnet50@8' is no size of resnet50", "side of the image in pixels: 32 to 1024"),
        ("resnet50@", "'resnet50@' is no size of resnet50", "side of the image"),
        ("resnet50@big", "'resnet50@big' is no size", "side of the image"),
        ("digits_cnn@9", "digits_cnn comes in one size", "name it digits_cnn"),
        ("resnet50@smaller", "'resnet50@smaller' is no size", "or resnet50@small"),
        ("resnet51@64", "unknown model 'resnet51'", "did you mean 'resnet50'?"),
    ],
)
def test_a_size_that_does_not_exist_is_told(name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        MODELS.load(name)
    assert hint in error.value.hint


def test_without_a_name_the_quick_model_is_made() -> None:
    assert Selection().models_to_make() == ["digits_cnn"]
    assert Selection(models=("all",)).models_to_make() == MODELS.names
    assert Selection(models=("all", "ncf@8")).models_to_make() == [*MODELS.names, "ncf@8"]
    assert Selection(models=("ncf@8",)).models_to_make() == ["ncf@8"]
