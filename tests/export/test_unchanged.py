from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from export import unchanged
from serveoff import storage
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration
NAME = "digits_cnn.pytorch.torchscript.float32"


@pytest.fixture
def made(exported: Workspace, tmp_path: Path) -> tuple[Path, Path]:
    """An artifact and its checkpoint, to be changed."""
    for part in (Path("artifacts") / NAME, Path("checkpoints") / "digits_cnn"):
        shutil.copytree(exported.root / part, tmp_path / part)
    return tmp_path / "artifacts" / NAME, tmp_path / "checkpoints" / "digits_cnn"


def test_everything_that_went_in_is_known(made: tuple[Path, Path]) -> None:
    assert unchanged.change(*made, "pytorch") == ""
    known = storage.read(made[0] / unchanged.FILE, unchanged.MadeFrom)
    wanted = {"export/worker.py", "export/formats/torchscript.py", "export/tolerances.py", "models/zoo/digits_cnn.py", "serveoff/parity.py"}
    assert wanted <= known.code.keys()
    assert not {"export/formats/tflite.py", "serveoff/cli/build.py", "report/page.py"} & known.code.keys(), "what has no part in it"
    assert not [path for path in known.code if "site-packages" in path]
    assert "weights.safetensors" in known.checkpoint
    assert {"torch", "numpy"} <= known.packages.keys()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder, checkpoint: (folder / "manifest.json").unlink(), "does not exist"),
        (lambda folder, checkpoint: (folder / "serve" / "1" / "model.pt").write_bytes(b""), "has changed since it was exported"),
        (lambda folder, checkpoint: (checkpoint / "weights.safetensors").write_bytes(b""), "weights.safetensors has changed"),
        (lambda folder, checkpoint: (checkpoint / "twin.json").write_bytes(b""), "twin.json has changed"),
        (
            lambda folder, checkpoint: shutil.copy(checkpoint / "reference-pytorch/samples.npz", checkpoint / "reference-pytorch/a.npz"),
            "other",
        ),
        (lambda folder, checkpoint: changed(folder, code={"export/worker.py": "0"}), "export/worker.py has changed"),
        (lambda folder, checkpoint: changed(folder, code={"export/gone.py": "0"}), "export/gone.py has changed"),
        (lambda folder, checkpoint: changed(folder, packages={"torch": "1.0"}), "torch was 1.0, and is 2"),
        (lambda folder, checkpoint: changed(folder, python="2.7"), "Python was 2.7, and is 3"),
        (lambda folder, checkpoint: changed(folder, programs={"g++": "g++ 1.0"}), "g++ was 'g++ 1.0', and is '"),
        (lambda folder, checkpoint: changed(folder, processor="Z80"), "the processor was Z80, and is "),
    ],
)
def test_whatever_changed_is_said(made: tuple[Path, Path], change: Callable[[Path, Path], None], reason: str) -> None:
    change(*made)
    assert reason in unchanged.change(*made, "pytorch")


def test_the_converters_own_environment_counts(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEOFF_LITERT_TORCH", "/nowhere/python")
    changed(made[0], environments={"litert-torch": {"jax": "1.0"}})
    assert unchanged.change(*made, "pytorch") == "litert-torch's jax was 1.0, and is None"


def changed(folder: Path, **fields: object) -> None:
    known = storage.read(folder / unchanged.FILE, unchanged.MadeFrom)
    storage.write(folder / unchanged.FILE, msgspec.structs.replace(known, **fields))
