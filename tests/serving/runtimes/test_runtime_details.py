"""What only one runtime has: tables and TensorFlow 1 graphs, fixed batches, files without names, text in ONNX."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from serveoff.contract import SIGNATURE
from serveoff.registry import RUNTIMES
from serveoff.tflite_names import with_names
from serveoff.wire import tfs_pb2

from .conftest import Child

Ask = Callable[[str], Any]

pytestmark = pytest.mark.integration


def test_a_tensorflow_1_graph_with_an_initialised_table(tensorflow_models: Path, child: Ask) -> None:
    ask = child("savedmodel")
    model, _ = ask("load", "savedmodel", str(tensorflow_models / "tf1"), 1)
    answer = ask("run", model, SIGNATURE, {"text": np.array([b"b", b"?", b"a"], object)})
    assert answer["found"].tolist() == [60, -3, 30]


def test_signatures_of_unsupported_types_are_left_out(tensorflow_models: Path, child: Ask) -> None:
    _, signatures = child("savedmodel")("load", "savedmodel", str(tensorflow_models / "savedmodel"), 1)
    assert sorted(signatures) == ["any_rank", "double", "lookup", "scalars", "serving_default"]


def test_a_savedmodels_own_definitions(tensorflow_models: Path, child: Ask) -> None:
    ask = child("savedmodel")
    model, _ = ask("load", "savedmodel", str(tensorflow_models / "savedmodel"), 1)
    definitions = {name: tfs_pb2.SignatureDef.FromString(text) for name, text in ask("definitions", model).items()}
    assert {"serving_default", "exotic", "__saved_model_init_op"} <= definitions.keys()
    assert definitions["serving_default"].inputs["a"].name == "serving_default_a:0"
    assert definitions["serving_default"].method_name == "tensorflow/serving/predict"


def test_a_converters_tflite_computes_the_same_under_tf_servings_names(tensorflow_models: Path, tmp_path: Path) -> None:
    plain = tensorflow_models / "litert"
    (tmp_path / "model.tflite").write_bytes(with_names((plain / "model.tflite").read_bytes()))
    assert b"signature_defs_metadata" in (tmp_path / "model.tflite").read_bytes()
    inputs = {"a": np.ones((3, 3), np.float32), "b": np.ones((3, 4), np.float32)}
    answers = []
    for folder in (plain, tmp_path):
        model = RUNTIMES.load("litert").load(folder, 1)
        answers.append({name: array.tolist() for name, array in model.run(SIGNATURE, inputs).items()})
        model.close()
    assert answers[0] == answers[1]


def test_without_the_private_callable_the_session_runs(tensorflow_models: Path, child: Ask) -> None:
    ask = child("savedmodel without callables")
    model, _ = ask("load", "savedmodel", str(tensorflow_models / "savedmodel"), 1)
    inputs = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 4), np.float32)}
    fast = ask("run", model, SIGNATURE, inputs)
    ask("forget_fast_callables")
    model, _ = ask("load", "savedmodel", str(tensorflow_models / "savedmodel"), 1)
    slow = ask("run", model, SIGNATURE, inputs)
    assert {k: v.tolist() for k, v in slow.items()} == {k: v.tolist() for k, v in fast.items()}
    text = {"text": np.array([b"dog"], object)}
    assert ask("run", model, "lookup", text)["index"].tolist() == [1]
    assert ask.fails("run", model, SIGNATURE, {**inputs, "a": np.ones((2, 5), np.float32)})[0] == "ValueError"


def test_tflite_with_a_fixed_batch_refuses_others(tensorflow_models: Path) -> None:
    model = RUNTIMES.load("litert").load(tensorflow_models / "litert_fixed", 1)
    (name,) = [t.name for t in model.signatures[SIGNATURE].inputs]
    assert model.signatures[SIGNATURE].inputs[0].shape == (2, 3)
    (answer,) = model.run(SIGNATURE, {name: np.ones((2, 3), np.float32)}).values()
    assert answer.tolist() == [[2.0] * 3] * 2
    with pytest.raises(ValueError, match=r"has the shape \[1, 3\], the model takes \[2, 3\]"):
        model.run(SIGNATURE, {name: np.ones((1, 3), np.float32)})
    model.close()


def test_torchscript_without_names(torch_models: Path, child: Ask) -> None:
    ask = child("torchscript")
    model, signatures = ask("load", "torchscript", str(torch_models / "unnamed"), 1)
    assert [t.name for t in signatures[SIGNATURE].inputs] == ["input_0", "input_1"]
    answer = ask("run", model, SIGNATURE, {"input_0": np.ones((3, 3), np.float32), "input_1": np.ones((3, 4), np.float32)})
    assert {k: v.shape for k, v in answer.items()} == {"output_0": (3, 4), "output_1": (3,)}


def test_torchscript_does_not_write_into_the_request(torch_models: Path, child: Ask) -> None:
    ask = child("torchscript")
    model, _ = ask("load", "torchscript", str(torch_models / "in_place"), 1)
    shared = np.frombuffer(np.ones(3, np.float32).tobytes(), np.float32)
    assert ask("run", model, SIGNATURE, {"input_0": shared})["output_0"].tolist() == [2.0] * 3


def test_torchscript_index_out_of_range_is_the_inputs_fault(torch_models: Path, child: Ask) -> None:
    ask = child("torchscript")
    model, _ = ask("load", "torchscript", str(torch_models / "embed"), 1)
    kind, text = ask.fails("run", model, SIGNATURE, {"i": np.array([7])})
    assert kind == "ValueError"
    assert re.fullmatch("the model refused the inputs: .*index out of range.*", text)


def test_torchscript_with_a_damaged_signature(torch_models: Path, child: Ask) -> None:
    kind, text = child("torchscript").fails("load", "torchscript", str(torch_models / "damaged"), 1)
    assert kind == "ValueError"
    assert text.startswith("signature.json inside the file is not a signature: ")


def test_torchscript_uses_as_many_threads_as_it_is_told(torch_models: Path, child: Ask) -> None:
    ask = child("torchscript")
    for threads in (2, 1):
        ask("load", "torchscript", str(torch_models / "torchscript"), threads)
        assert ask("torch_threads") == [threads, threads]


def test_an_exported_program_without_names(torch_models: Path, child: Ask) -> None:
    ask = child("pt2")
    model, signatures = ask("load", "pt2", str(torch_models / "pt2_unnamed"), 1)
    known = signatures[SIGNATURE]
    assert [(t.name, t.dtype, t.shape) for t in known.inputs] == [("a", "float32", (None, 3)), ("b", "float32", (None, 4))]
    assert [(t.name, t.dtype, t.shape) for t in known.outputs] == [("output_0", "float32", (None, 4)), ("output_1", "float32", (None,))]
    answer = ask("run", model, SIGNATURE, {"a": np.ones((3, 3), np.float32), "b": np.ones((3, 4), np.float32)})
    assert {k: v.shape for k, v in answer.items()} == {"output_0": (3, 4), "output_1": (3,)}


def test_rows_are_not_spread_over_an_exported_programs_other_input(torch_models: Path, child: Ask) -> None:
    """The graph alone would broadcast one row."""
    ask = child("pt2")
    model, _ = ask("load", "pt2", str(torch_models / "pt2"), 1)
    kind, text = ask.fails("run", model, SIGNATURE, {"a": np.ones((3, 3), np.float32), "b": np.ones((1, 4), np.float32)})
    assert (kind, text) == ("ValueError", "the inputs differ in the size of their first dimension: a: 3, b: 1")


@pytest.mark.slow
def test_nothing_of_a_compiled_package_is_left_unpacked(aotinductor_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is ended cannot delete it: a hundred megabytes a time, for a model of that size."""
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    monkeypatch.setenv("TMPDIR", str(unpacked))
    child = Child(tmp_path / "log")
    model, _ = child("load", "pt2", str(aotinductor_models / "aotinductor"), 1)
    assert list(unpacked.iterdir()) == []
    child("close", model)
    assert child.end() == 0
    assert list(unpacked.iterdir()) == []


@pytest.mark.slow
def test_compiled_code_that_does_not_say_what_it_takes_is_refused(aotinductor_models: Path, child: Ask) -> None:
    kind, text = child("pt2").fails("load", "pt2", str(aotinductor_models / "compiled_unnamed"), 1)
    assert kind == "ValueError"
    assert "does not say what its tensors are" in text


@pytest.mark.slow
def test_code_that_was_compiled_for_another_machine_is_refused(aotinductor_models: Path, tmp_path: Path, child: Ask) -> None:
    with (
        zipfile.ZipFile(aotinductor_models / "aotinductor" / "model.pt2") as source,
        zipfile.ZipFile(tmp_path / "model.pt2", "w") as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'"AOTI_MACHINE": "', b'"AOTI_MACHINE": "not_'))
    kind, text = child("pt2").fails("load", "pt2", str(tmp_path), 1)
    assert kind == "ValueError"
    assert text.startswith("this package was compiled for another machine: not_")


def test_onnx_text(tmp_path: Path) -> None:
    node = helper.make_node("StringConcat", ["text", "text"], ["twice"])
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])
    twice = helper.make_tensor_value_info("twice", TensorProto.STRING, ["n"])
    graph = helper.make_graph([node], "text", [text], [twice])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "model.onnx")
    model = RUNTIMES.load("onnxruntime").load(tmp_path, 1)
    assert model.signatures[SIGNATURE].inputs[0].dtype == "string"
    answer = model.run(SIGNATURE, {"text": np.array([b"dog", "\u00e9".encode(), b""], object)})
    assert answer["twice"].tolist() == [b"dogdog", "\u00e9\u00e9".encode(), b""]
    model.close()


def test_onnx_with_an_input_that_is_no_tensor(tmp_path: Path) -> None:
    node = helper.make_node("SequenceLength", ["many"], ["length"])
    many = helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, None)
    length = helper.make_tensor_value_info("length", TensorProto.INT64, [])
    graph = helper.make_graph([node], "sequence", [many], [length])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"'many' is of type seq\(tensor\(float\)\), which is not supported"):
        RUNTIMES.load("onnxruntime").load(tmp_path, 1)
