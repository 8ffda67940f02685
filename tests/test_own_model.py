"""A model of the user's own, through the real commands: by path at first, by its name afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serveoff import artifacts, process, storage
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration
Command = Callable[..., "subprocess.CompletedProcess[str]"]
SHORT = ("--profile", "closed:users=2,duration_s=1", "--warmup-s", "0.2", "--warmup-limit-s", "0.2")

TEN_LINES = """import numpy as np

def build_pytorch():
    import torch
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))

def samples():
    return {"features": np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)}
"""
TWINS = """import numpy as np

def build_pytorch():
    from collections import OrderedDict
    from torch import nn
    return nn.Sequential(OrderedDict(hidden=nn.Linear(4, 16), relu=nn.ReLU(), logits=nn.Linear(16, 3)))

def build_keras():
    import keras
    x = keras.Input((4,), name="features")
    hidden = keras.layers.Dense(16, activation="relu", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(3, name="logits")(hidden))
"""
SAVED_MODEL = """
import sys
import tensorflow as tf
module = tf.Module()
module.w = tf.Variable(tf.random.normal((4, 3), seed=1))
module.score = tf.function(lambda x: {"y": x @ module.w}, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
tf.saved_model.save(module, sys.argv[1], {"score": module.score})
"""
PROGRAM = """
import json, sys, torch
torch.manual_seed(1)
batch = torch.export.Dim("batch")
program = torch.export.export(torch.nn.Linear(4, 3).eval(), (torch.ones(2, 4),), dynamic_shapes=({0: batch},))
described = [{"name": n, "dtype": "float32", "shape": [None, s]} for n, s in (("x", 4), ("y", 3))]
metadata = {"signature.json": json.dumps({"inputs": described[:1], "outputs": described[1:]})}
"""
FILES = {
    "pt2": PROGRAM + "torch.export.save(program, sys.argv[1])",
    "aotinductor": PROGRAM
    + "torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[1], inductor_configs={'aot_inductor.metadata': metadata})",
    "tflite": """
import sys, keras, tensorflow as tf
keras.utils.set_random_seed(1)
x = keras.Input((4,), name="x")
converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, keras.layers.Dense(3, name="y")(x)))
open(sys.argv[1], "wb").write(converter.convert())
""",
}
CLASSIFIER = """
import sys
from transformers import BertConfig, BertForSequenceClassification
small = dict(vocab_size=99, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=32)
BertForSequenceClassification(BertConfig(**small, initializer_range=0.5)).save_pretrained(sys.argv[1])
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = Workspace(tmp_path / "w")
    yield found
    process.end_all(process.owned(found.root), grace_s=0)


def bare_onnx(path: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 4]) for name in "xy")  # batches of two, and no others
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


def journey(serveoff: Command, workspace: Workspace, names: tuple[str, ...], *filters: str) -> tuple[RunResult, str]:
    """Serve, load and report by name; the run, and the report's text."""
    models = [*(word for name in names for word in ("--model", name)), *filters]
    for command in (("serve", *models, "--server", "embedded", "--launcher", "process"), ("loadtest", *models, *SHORT)):
        done = serveoff(*command, workspace=workspace.root)
        assert done.returncode == 0, done.stderr + done.stdout
    (run_dir,) = workspace.runs.iterdir()
    result = storage.read(run_dir / "run.json", RunResult)
    assert {(c.manifest.model, c.protocol) for c in result.cells} == {(name, p) for name in names for p in ("tfs_rest", "tfs_grpc")}
    for cell in result.cells:
        assert cell.live_check.passed
        assert not cell.wrong
        assert cell.measurement is not None
        assert cell.measurement.throughput_rps > 0
    return result, (run_dir / "report.md").read_text()


def test_a_model_file_of_ten_lines_and_a_bare_onnx_file(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    own, bare = tmp_path / "elsewhere" / "my model.py", bare_onnx(tmp_path / "bare.onnx")
    own.parent.mkdir()
    own.write_text(TEN_LINES)
    paths = ("--model", str(own), "--model", str(bare))
    done = serveoff("export", *paths, "--format", "torchscript", "--format", "onnx", "--precision", "given", workspace=workspace.root)
    assert done.returncode == 2, "no precision of that name is made by an export"
    done = serveoff("export", "--model", str(own), "--format", "torchscript", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    done = serveoff("export", "--model", str(bare), "--json", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "bare: its 64 samples are random numbers" in done.stderr
    (given,) = artifacts.find(workspace, Selection(models=("bare",)))
    assert given.manifest.id == "bare.given.onnx.given"
    assert given.manifest.fixed_batch == 2
    assert (given.version_dir / "model.onnx").read_bytes() == bare.read_bytes()

    result, report = journey(serveoff, workspace, ("my_model", "bare"))
    reasons = {skip.what: skip.reason for skip in result.skips}
    assert reasons["my_model"] == "my model.py has no build_keras(): keras, and what is exported from it, is not compared"
    assert "served as given; nothing to compare with but itself" in report
    assert "random numbers" in report


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bare_saved_model_with_a_signature_of_its_own(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SAVED_MODEL, str(tmp_path / "bare")], check=True, capture_output=True)
    done = serveoff("export", "--model", str(tmp_path / "bare"), workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    (given,) = artifacts.find(workspace, Selection())
    assert (given.manifest.id, given.manifest.signature) == ("bare.given.savedmodel.given", "score")
    journey(serveoff, workspace, ("bare",))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["pt2", "aotinductor", "tflite"])
def test_a_bare_pt2_or_tflite_file(serveoff: Command, workspace: Workspace, tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("bare.tflite" if kind == "tflite" else "bare.pt2")
    subprocess.run([sys.executable, "-c", FILES[kind], str(path)], check=True, capture_output=True)
    done = serveoff("export", "--model", str(path), workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    (given,) = artifacts.find(workspace, Selection())
    assert given.manifest.id == f"bare.given.{path.suffix.removeprefix('.')}.given"
    assert [(t.dtype, t.shape) for t in given.manifest.outputs] == [("float32", (None, 3))]
    _, report = journey(serveoff, workspace, ("bare",))
    assert "served as given; nothing to compare with but itself" in report


@pytest.mark.slow
def test_compiled_code_that_does_not_tell_what_it_takes(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "bare.pt2"
    subprocess.run(
        [sys.executable, "-c", FILES["aotinductor"].replace("'aot_inductor.metadata': metadata", ""), str(path)],
        check=True,
        capture_output=True,
    )
    done = serveoff("export", "--model", str(path), workspace=workspace.root)
    assert done.returncode == 1
    assert "does not say what its tensors are" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hugging_face_model_directory(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CLASSIFIER, str(tmp_path / "my-bert")], check=True, capture_output=True)
    formats = [word for name in ("onnx", "torchscript", "pt2") for word in ("--format", name)]
    done = serveoff("export", "--model", str(tmp_path / "my-bert"), *formats, "--no-facts", "--json", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    found = {a.manifest.format: a.manifest for a in artifacts.find(workspace, Selection(models=("my_bert",)))}
    assert found.keys() == {"onnx", "torchscript", "pt2"}
    for manifest in found.values():
        assert [t.name for t in manifest.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
        assert [t.name for t in manifest.outputs] == ["logits"]
    result, _ = journey(serveoff, workspace, ("my_bert",), "--format", "torchscript")
    reasons = {skip.reason for skip in result.skips if skip.what == "my_bert"}
    assert "my-bert is a pytorch model: keras, and what is exported from it, is not compared" in reasons


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_layers_that_are_named_alike_make_twins_and_others_do_not(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    alike, unlike = tmp_path / "alike.py", tmp_path / "unlike.py"
    alike.write_text(TWINS)
    unlike.write_text(TWINS.replace('name="hidden"', 'name="other"'))
    one_of_each = ("--format", "torchscript", "--format", "savedmodel")
    done = serveoff("export", "--model", str(alike), "--model", str(unlike), *one_of_each, "--no-facts", workspace=workspace.root)
    assert done.returncode == 0, done.stderr + done.stdout
    proofs = {name: storage.read(workspace.checkpoint(name) / "twin.json", TwinProof) for name in ("alike", "unlike")}
    equal = proofs["alike"].parity
    assert equal is not None
    assert equal.passed
    assert proofs["unlike"].parity is None
    assert "their layers are not named alike" in proofs["unlike"].unproved
    digests = {name: {a.manifest.weights_sha256 for a in artifacts.find(workspace, Selection(models=(name,)))} for name in proofs}
    assert {name: len(found) for name, found in digests.items()} == {"alike": 1, "unlike": 2}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_file_that_changes_is_taken_in_anew(serveoff: Command, workspace: Workspace, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(TEN_LINES)
    arguments = ("export", "--format", "torchscript", "--no-facts", "--json", "--model")

    def weights(model: str) -> str:
        done = serveoff(*arguments, model, workspace=workspace.root)
        assert done.returncode == 0, done.stderr + done.stdout
        return str(json.loads(done.stdout)["exports"][0]["manifest"]["weights_sha256"])

    first = weights(str(own))
    own.write_text(TEN_LINES.replace("seed(7)", "seed(8)"))
    assert weights("own") != first
