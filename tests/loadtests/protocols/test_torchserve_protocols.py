"""TorchServe's protocols: bytes out, bytes in. The real server is in tests/serving/torchserve."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serveoff.contract import DType
from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
from serveoff.wire.torchserve_pb2 import PredictionResponse, PredictionsRequest

from .manifests import manifest, spec

REST, GRPC = PROTOCOLS.load("torchserve_rest"), PROTOCOLS.load("torchserve_grpc")
DOOR = Endpoint(protocol="torchserve_grpc", host="127.0.0.1", port=1, model_name="pairs")


PAIRS = manifest((spec("left", "float32", 2), spec("right", "int64")), (spec("scaled", "float32", 2), spec("total", "int64")))
INPUTS = {"left": np.array([[1.5, -0.0]], np.float32), "right": np.array([3])}


def reply(*outputs: np.ndarray) -> bytes:
    prediction = io.BytesIO()
    for output in outputs:
        np.save(prediction, output)
    message: bytes = PredictionResponse(prediction=prediction.getvalue()).SerializeToString()
    return message


def test_rest_posts_rows_to_the_model_of_the_endpoint() -> None:
    assert (REST.transport, REST.encoding) == ("http", "json")
    assert REST.path(DOOR) == "/predictions/pairs"
    assert REST.headers(b"{}")["Content-Type"] == "application/json"
    assert json.loads(REST.encode(PAIRS, DOOR, INPUTS)) == {"instances": [{"left": [1.5, 0], "right": 3}]}
    answer = REST.decode(PAIRS, b'{"predictions": [{"scaled": [1, 2], "total": 7}]}')
    assert answer["scaled"].dtype == np.float32
    assert answer["total"].tolist() == [7]
    refused = b'{"code": 404, "type": "ModelNotFoundException", "message": "Model not found: pairs"}'
    with pytest.raises(ValueError, match="Model not found: pairs"):
        REST.decode(PAIRS, refused)


def test_grpc_sends_each_input_as_a_npy_file() -> None:
    assert (GRPC.transport, GRPC.encoding) == ("grpc", "binary")
    request = PredictionsRequest.FromString(GRPC.encode(PAIRS, DOOR, INPUTS))
    assert request.model_name == "pairs"
    sent = {name: np.load(io.BytesIO(value)) for name, value in request.input.items()}
    assert sent.keys() == INPUTS.keys()
    for name, value in INPUTS.items():
        assert sent[name].dtype == value.dtype
        assert np.array_equal(sent[name], value)


@pytest.mark.parametrize("wrong", [{"right": np.array([3.0])}, {"right": None}])
def test_inputs_that_are_not_the_models_are_refused_before_they_are_sent(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"input 'right' is (float64|missing), not int64"):
        GRPC.encode(PAIRS, DOOR, {k: v for k, v in (INPUTS | wrong).items() if v is not None})


def test_equal_tensors_give_equal_bytes() -> None:
    wide = manifest(tuple(spec(f"i{k}", "float32") for k in range(20)))
    inputs = {f"i{k}": np.array([k], np.float32) for k in range(20)}
    backwards = dict(reversed(inputs.items()))
    assert GRPC.encode(wide, DOOR, inputs) == GRPC.encode(wide, DOOR, backwards)
    left = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    right = np.arange(3)
    assert GRPC.encode(PAIRS, DOOR, {"left": left, "right": right}) == GRPC.encode(PAIRS, DOOR, {"left": left.copy("C"), "right": right})


@settings(deadline=None)
@given(st.sampled_from([d for d in get_args(DType) if d != "string"]).flatmap(lambda d: arrays.arrays(d, arrays.array_shapes(max_dims=3))))
def test_every_dtype_comes_back_over_grpc_as_it_was_sent(array: np.ndarray) -> None:
    one = manifest((), (spec("y", cast("DType", array.dtype.name), *array.shape[1:]),))
    answer = GRPC.decode(one, reply(array))["y"]
    assert answer.dtype == array.dtype
    assert answer.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xff\xff", "not a PredictionResponse"),
        (PredictionResponse(prediction=b'{"code": 400, "message": "no rows"}').SerializeToString(), 'holds no tensors: .*"no rows"'),
        (PredictionResponse().SerializeToString(), "holds no tensors"),
        (reply(np.zeros((1, 2), np.float32)), "total"),
        (reply(np.zeros((1, 2), np.float32), np.zeros(1), np.zeros(1)), "bytes after its 2 outputs"),
        (reply(np.zeros((1, 2), np.float32), np.zeros(1))[:-3], "PredictionResponse"),
    ],
)
def test_a_reply_that_is_no_answer_is_a_value_error(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GRPC.decode(PAIRS, data)


def test_names_and_numbers_are_those_of_the_servers_own_proto() -> None:
    found = importlib.util.find_spec("ts")
    assert found
    assert found.origin
    with zipfile.ZipFile(Path(found.origin).parent / "frontend" / "model-server.jar") as jar:
        proto = jar.read("inference.proto").decode()
    package = re.search(r"package ([\w.]+);", proto)
    assert package
    assert GRPC.path(DOOR) == f"/{package[1]}.InferenceAPIsService/Predictions"
    assert "rpc Predictions(PredictionsRequest) returns (PredictionResponse)" in proto
    for message in (PredictionsRequest, PredictionResponse):
        text = proto.split(f"message {message.DESCRIPTOR.name} {{")[1].split("}")[0]
        theirs = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+);", text)}
        ours = {field.name: field.number for field in message.DESCRIPTOR.fields}
        assert ours.items() <= theirs.items()


def test_a_load_process_needs_no_framework_for_them() -> None:
    code = (
        "import sys; from serveoff.registry import PROTOCOLS\n"
        "PROTOCOLS.load('torchserve_rest'); PROTOCOLS.load('torchserve_grpc')\n"
        "print(sorted({'torch', 'tensorflow', 'numpy', 'grpc', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
