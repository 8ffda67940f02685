"""What is taken in of a model of the user's own, and the one sentence for each that cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serveoff.registry import CODE_ROOT

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
Found = dict[str, dict[str, Any]]


def run(cases: str, folder: Path) -> Found:
    path = os.pathsep.join([str(CODE_ROOT), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    child = subprocess.run(
        [sys.executable, str(HERE / "child_models.py"), cases, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    (line,) = (line for line in child.stdout.splitlines() if line.startswith("RESULT "))
    found: Found = json.loads(line.removeprefix("RESULT "))
    return found


@pytest.fixture(scope="module")
def pytorch(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run("pytorch_cases", tmp_path_factory.mktemp("pytorch"))


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run("transformers_cases", tmp_path_factory.mktemp("transformers"))


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return run("keras_cases", tmp_path_factory.mktemp("keras"))


@pytest.mark.parametrize(
    ("case", "message", "hint"),
    [
        ("raises", "m.py, line 2 raised ZeroDivisionError: division by zero", ""),
        ("leaves", "m.py, line 2 raised SystemExit: no licence", ""),
        ("returns_no_module", "returned a str, not a torch.nn.Module", ""),
        ("batch_mean", "the outputs change with the batch size", "rows must not know of each other"),
        ("dropout", "the answers change from one call to the next", "dropout"),
        ("no_batch", "its first dimension must be the batch", ""),
        ("answers_nan", "output output_0 is NaN for 64 of 64 samples", "weights"),
        ("answers_text", "is a str, not a tensor", ""),
        ("refuses", "the PyTorch model refuses the samples", ""),
        ("tells_nothing", "m.py does not tell what it takes", "--input image:float32:None,8,8,1"),
        ("nan_weight", "2 of 2 values of the weight bias of m.py are NaN or infinite", ""),
        ("unpicklable", "cannot be unpickled: AttributeError", "name a .py file"),
        ("state", "holds a dict, not a model", "build_pytorch()"),
        ("sample_shape", "the samples for x have the shape [5, 3], the model takes [rows, 4]", ""),
        ("sample_dtype", "the samples for x are float64, the model takes float32", ".astype('float32')"),
        ("sample_names", "the samples have 'y', which is no input", "the inputs are: x"),
        ("sample_objects", "holds Python objects, and loading them runs whatever code is in them", "--allow-pickle"),
        ("samples_damaged", "s.npz is not an .npz file of arrays", "numpy.savez"),
        ("onnx_open", "the size of input x of m.onnx is open: [None, None]", "--input x:int64:None,SIZE"),
        ("onnx_contradicted", "input x of m.onnx is float32 [None, 5], not float32 [None, 4]", ""),
        ("onnx_no_batch", "input x of m.onnx has no batch dimension", ""),
        ("onnx_over_the_batch", "the outputs change with the batch size", ""),
        ("onnx_cut", "m.onnx is not an ONNX model", "damaged"),
        ("onnx_alone", "m.onnx has its weights in beside.bin beside it, which cannot be read", "put them into one folder"),
        ("script_nameless", "m.pt does not tell what it takes", "--input"),
    ],
)
def test_what_pytorch_cannot_use_is_one_sentence(pytorch: Found, case: str, message: str, hint: str) -> None:
    assert message in pytorch[case].get("message", ""), pytorch[case]
    assert hint in pytorch[case]["hint"]
    assert "\n" not in pytorch[case]["message"]


def test_what_pytorch_takes_is_described(pytorch: Found) -> None:
    assert pytorch["dictionary"]["outputs"] == ["a:float32:[None, 4]", "b:float32:[None]"]
    assert pytorch["named"]["outputs"] == ["twice:float32:[None, 4]", "more:float32:[None, 4]"]
    assert pytorch["pickled"]["outputs"] == ["output_0:float32:[None, 2]"]
    assert pytorch["beside"]["inputs"] == ["x:float32:[None, 4]"], "what lies beside the file is found"
    assert pytorch["beside"]["notes"] == []
    assert pytorch["beside"]["beside"] == ["part.py", "weights.txt"], "what it imports and opens counts, too"
    assert pytorch["sample_labels"]["inputs"] == ["x:float32:[None, 4]"], "labels are no input"


def test_what_is_given_tells_its_tensors(pytorch: Found) -> None:
    assert pytorch["onnx"]["inputs"] == ["x:float32:[None, 4]"]
    assert "random numbers" in pytorch["onnx"]["notes"][0]
    assert pytorch["onnx_fixed"] == {**pytorch["onnx"], "fixed_batch": 3, "notes": pytorch["onnx_fixed"]["notes"]}
    assert pytorch["onnx_said"]["inputs"] == ["x:float32:[None, 4]"]
    assert pytorch["onnx_apart"]["outputs"] == ["y:float32:[None, 400]"], "the weights in the file beside it came along"
    assert pytorch["onnx_apart"]["beside"] == ["beside.bin"], "and count when they change"
    assert pytorch["script"]["outputs"] == ["y:float32:[None, 2]"]


@pytest.mark.parametrize(
    ("case", "message", "hint"),
    [
        ("fixed", "m.keras takes batches of 2 only", "leave the batch open"),
        ("code_inside", "holds Python code (a Lambda layer), and loading it runs that code", "--allow-pickle"),
        ("code_inside_h5", "holds Python code (a Lambda layer), and loading it runs that code", "--allow-pickle"),
        ("batch_mean", "the outputs change with the batch size", "rows must not know of each other"),
        ("raises", "m.py, line 2 raised ZeroDivisionError: division by zero", ""),
        ("sample_shape", "the samples for x have the shape [5, 3], the model takes [rows, 4]", ""),
        ("infinite_weight", "values of the weight", ""),
        ("damaged", "is not a model that Keras can load", ""),
        ("tells_nothing", "m.py does not tell what it takes", "--samples file.npz"),
        ("two_frameworks", "imports torch and tensorflow into one process", "inside the function"),
        ("several_signatures", "has the signatures text, twice", "--signature NAME"),
        ("unknown_signature", "has no signature 'twise'", "did you mean 'twice'?"),
    ],
)
def test_what_keras_cannot_use_is_one_sentence(keras: Found, case: str, message: str, hint: str) -> None:
    assert message in keras[case].get("message", ""), keras[case]
    assert hint in keras[case]["hint"]
    assert "\n" not in keras[case]["message"]


def test_what_keras_takes_is_described(keras: Found) -> None:
    assert keras["good"]["inputs"] == ["x:float32:[None, 4]"]
    assert keras["good"]["outputs"] == ["score:float32:[None, 2]"]
    assert keras["subclassed"]["outputs"] == ["score:float32:[None, 2]"]
    assert "outputs" in keras["code_allowed"]
    assert "outputs" in keras["code_allowed_h5"]
    assert keras["older"]["outputs"] == keras["good"]["outputs"]
    assert keras["one_signature"]["signature"] == "twice"
    assert keras["named_signature"]["outputs"] == ["t:string:[None]"]


@pytest.mark.parametrize(
    ("case", "message", "hint"),
    [
        ("damaged", "its weights cannot be loaded: ", "save_pretrained()"),
        ("lacks_a_layer", "lack encoder.layer.0.attention.self.query.weight", "save the model again"),
        ("writes_text", "holds a GPT2LMHeadModel, which writes text", "name a .py file"),
        ("sees", "holds a ViTModel, which takes pixel_values", "name a .py file"),
        ("own_code", "comes with Python code of its own, and that is not run", "build_pytorch()"),
        ("unknown_type", "config.json is not one that transformers knows", "save_pretrained()"),
        ("too_long", "the PyTorch model refuses the samples", ""),
    ],
)
def test_what_a_model_directory_lacks_is_one_sentence(transformers: Found, case: str, message: str, hint: str) -> None:
    assert message in transformers[case].get("message", ""), transformers[case]
    assert hint in transformers[case]["hint"]
    assert "\n" not in transformers[case]["message"]


def test_what_a_model_directory_tells(transformers: Found) -> None:
    three = [f"{name}:int64:[None, 64]" for name in ("input_ids", "attention_mask", "token_type_ids")]
    assert transformers["encoder"]["inputs"] == three
    assert transformers["encoder"]["outputs"] == ["last_hidden_state:float32:[None, 64, 8]", "pooler_output:float32:[None, 8]"]
    assert "samples are random ids below 50, masks of random length and segments of random length" in transformers["encoder"]["notes"][0]
    assert transformers["no_pooler"]["outputs"] == ["last_hidden_state:float32:[None, 64, 8]"], "one that was never trained answers nothing"
    assert transformers["classifier"]["outputs"] == ["logits:float32:[None, 3]"]
    assert transformers["half"]["outputs"] == transformers["encoder"]["outputs"], "float16 on disk is computed in float32"
    assert transformers["roberta"]["inputs"] == [f"{name}:int64:[None, 62]" for name in ("input_ids", "attention_mask")]
    assert transformers["said"]["inputs"] == [text.replace(" 64]", " 9]") for text in three]
    assert transformers["sampled"]["inputs"] == [text.replace(" 64]", " 5]") for text in three]
    assert transformers["pickled"]["outputs"] == transformers["encoder"]["outputs"]
