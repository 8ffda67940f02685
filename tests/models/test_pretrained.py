"""Weights that were trained elsewhere: files of a build that was drawn from another seed, as a stranger's training would leave them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import pretrained, weights
from serveoff import artifacts, storage
from serveoff.errors import InputError, MissingToolError, ServeoffError, UsageError
from serveoff.registry import CODE_ROOT, MODELS
from serveoff.selection import Selection
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

Command = Callable[..., "subprocess.CompletedProcess[str]"]
HERE = Path(__file__).parent
MODEL = "mobilenet_v2@32"


def state(model: str = MODEL, seed: int = 5) -> dict[str, Any]:
    import torch

    torch.manual_seed(seed)
    found: dict[str, Any] = MODELS.load(model).builds["pytorch"]().state_dict()
    return found


def read(path: Path, model: str = MODEL) -> dict[str, Any]:
    from models.frameworks import pytorch

    return pretrained.load(MODELS.load(model), pytorch.read, path)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["pt", "wrapped", "safetensors", "ours"])
def test_a_file_of_pytorchs_names_is_taken_whatever_its_layout(tmp_path: Path, kind: str) -> None:
    import torch
    from safetensors.torch import save_file

    given, path = state(), tmp_path / "w.safetensors"
    known = {name: value.numpy() for name, value in given.items() if "num_batches" not in name}
    if kind == "safetensors":
        save_file(given, path)
    elif kind == "ours":
        weights.save(path, known)
    else:
        path = tmp_path / "w.pth"
        torch.save({"state_dict": given, "epoch": 3} if kind == "wrapped" else given, path)
    found = read(path)
    assert found.keys() == known.keys()
    assert all(np.array_equal(found[name], known[name]) for name in known)


@pytest.mark.integration
def test_an_lstms_two_biases_are_one_in_our_files(tmp_path: Path) -> None:
    model = "gnmt_v2@4"
    build = MODELS.load(model).builds["pytorch"]()
    kept = weights.from_pytorch(build)
    weights.save(tmp_path / "ours.safetensors", kept)
    found = read(tmp_path / "ours.safetensors", model)
    assert all(np.array_equal(found[name], kept[name]) for name in kept)


def _other_model(path: Path) -> None:
    import torch

    torch.save(state("digits_cnn"), path)


def _other_shape(path: Path) -> None:
    import torch

    torch.save(state() | {"classifier.1.bias": torch.ones(10)}, path)


def _nan(path: Path) -> None:
    import torch

    torch.save(state() | {"classifier.1.bias": torch.full((1000,), float("nan"))}, path)


def _whole_model(path: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2), path)


def _a_list(path: Path) -> None:
    import torch

    torch.save([torch.ones(2)], path)


def _damaged(path: Path) -> None:
    path.write_bytes(b"no weights")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (_other_model, "are of another model: it lacks classifier.1.bias, classifier.1.weight, features.0.0.weight and", "name the model"),
        (_other_shape, "are of another model: classifier.1.bias is [10] and not [1000]", "the size"),
        (_nan, "1000 of 1000 values of the weight classifier.1.bias of w.pt are NaN or infinite", ""),
        (_whole_model, "does not hold weights: UnpicklingError", "no pickled model"),
        (_a_list, "holds a list, and no state of tensors", "state_dict()"),
        (_damaged, "does not hold weights: ", "how it was saved"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(tmp_path: Path, make: Callable[[Path], None], message: str, hint: str) -> None:
    make(tmp_path / "w.pt")
    with pytest.raises(InputError) as error:
        read(tmp_path / "w.pt")
    assert message in error.value.message
    assert "\n" not in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("model", "asked", "kind", "message", "hint"),
    [
        ("resnet50", "imagenet", MissingToolError, "ImageNet's weights for resnet50 are not here: there is no ", "--weights FILE"),
        ("ncf", "imagenet", UsageError, "nobody publishes ImageNet's weights for ncf", "alexnet, mobilenet_v2, resnet50, vgg19"),
        ("ncf", "w.bin", UsageError, "--weights w.bin is a file of an unknown kind", ".safetensors"),
        ("ncf", "nowhere/w.pt", InputError, "there is no nowhere/w.pt", "look at the path"),
    ],
)
def test_weights_that_are_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, asked: str, kind: type[ServeoffError], message: str, hint: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "installed", lambda _name: None)
    with pytest.raises(kind) as error:
        pretrained.find(model, asked)
    assert message in error.value.message
    assert hint in error.value.hint


@pytest.mark.integration
def test_imagenets_weights_are_found_where_torch_keeps_them_and_their_hash_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / MODELS.load(MODEL).imagenet
    kept.parent.mkdir(parents=True)
    torch.save(state(), kept)
    assert pretrained.find(MODEL, "imagenet") == kept
    with pytest.raises(InputError, match="is damaged: its sha256 begins with"):
        read(kept)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_file_goes_into_both_frameworks_and_the_exports(serveoff: Command, tmp_path: Path) -> None:
    import torch

    torch.save(state(), tmp_path / "w.pt")
    workspace = Workspace(tmp_path / "w")
    done = serveoff("train", "--model", MODEL, "--weights", str(tmp_path / "w.pt"), workspace=workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    proof = storage.read(workspace.checkpoint(MODEL) / "twin.json", TwinProof)
    assert proof.parity is not None
    assert proof.parity.passed
    assert proof.weights_given == str(tmp_path / "w.pt")
    kept = weights.load(workspace.checkpoint(MODEL) / "weights.safetensors")
    assert all(np.array_equal(kept[name], value.numpy()) for name, value in state().items() if name in kept)
    done = serveoff("export", "--model", MODEL, "--format", "savedmodel", workspace=workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    (artifact,) = artifacts.find(workspace, Selection())
    assert artifact.manifest.weights_sha256 == proof.weights_sha256


def child(program: str, *arguments: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(CODE_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, str(HERE / program), *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


@pytest.mark.slow
def test_keras_files_are_taken_by_the_names_of_their_layers(tmp_path: Path) -> None:
    found = child("child_keras_weights.py", str(tmp_path))
    assert found["same"] == {"w.weights.h5": True, "w.h5": True, "older.h5": True, "w.safetensors": True, "gnmt.weights.h5": True}
    for message in found["refused"].values():
        assert "are of another model: it lacks classifier.1, features.0.0, features.0.1 and 102 more; it has Conv1, " in message


@pytest.mark.slow
def test_which_of_keras_applications_are_the_networks_of_the_zoo() -> None:
    """See docs/decisions/0010: with the same weights, VGG19 answers alike, ResNet50 and MobileNetV2 do not."""
    found = child("child_keras_applications.py")
    assert found["vgg19@32"] < 1e-5
    assert found["resnet50@64"] > 0.01
    assert found["mobilenet_v2@64"] > 0.01
