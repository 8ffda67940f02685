"""The handler that runs inside TorchServe's worker: what it reads, what it refuses, and how it batches. No model: `run` is a function."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ts.context import Context, RequestProcessor
from ts.utils.util import PredictionException

from serving import torchserve_handler
from serving.torchserve_handler import ServeoffHandler

LEFT = {"name": "left", "dtype": "float32", "shape": [None, 2]}
RIGHT = {"name": "right", "dtype": "int64", "shape": [None]}


def handler(*inputs: dict[str, Any], fixed_batch: int | None = None) -> tuple[ServeoffHandler, list[int]]:
    """A handler whose model doubles `left` and, with two inputs, adds `right` to nothing; and the batch sizes that it was run with."""
    sizes: list[int] = []
    made = ServeoffHandler()
    made.inputs, made.fixed_batch = list(inputs), fixed_batch
    made.outputs = ["doubled", "same"][: len(inputs)]

    def run(tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(tensors["left"]))
        return [tensors["left"] * 2, *([tensors["right"]] if len(inputs) > 1 else [])]

    made.run = run
    return made, sizes


def context(requests: int) -> Context:
    made = Context("m", "/nowhere", {}, 1, None, "0.12.0")
    made.request_processor = [RequestProcessor({}) for _ in range(requests)]
    return made


def body(value: object) -> dict[str, bytes]:
    return {"body": json.dumps(value).encode()}


def npy(**arrays: np.ndarray) -> dict[str, bytearray]:
    """A gRPC request as the worker hands it over."""
    files = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        files[name] = bytearray(buffer.getvalue())
    return files


def one(made: ServeoffHandler, request: dict[str, Any]) -> bytes:
    [reply] = made.handle([request], context(1))
    return reply


def test_rows_of_a_model_with_one_input_and_output() -> None:
    made, _ = handler(LEFT)
    assert json.loads(one(made, body({"instances": [[1, 2.5], [3, 4]]}))) == {"predictions": [[2, 5], [6, 8]]}
    assert json.loads(one(made, body({"instances": [{"left": [1, 2]}], "signature_name": "serving_default"}))) == {"predictions": [[2, 4]]}
    assert json.loads(one(made, {"body": {"instances": [[1, 2]]}})) == {"predictions": [[2, 4]]}  # decoded by TorchServe


def test_rows_of_a_model_with_two_inputs_and_outputs() -> None:
    made, _ = handler(LEFT, RIGHT)
    reply = one(made, body({"instances": [{"left": [1, 2], "right": 7}, {"left": [3, 4], "right": -1}]}))
    assert json.loads(reply) == {"predictions": [{"doubled": [2, 4], "same": 7}, {"doubled": [6, 8], "same": -1}]}


def test_tensors_are_answered_with_tensors_in_order() -> None:
    made, _ = handler(LEFT, RIGHT)
    left = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    reply = io.BytesIO(one(made, npy(left=left, right=np.array([1, 2, 3]))))
    assert np.array_equal(np.load(reply), left * 2)
    assert np.array_equal(np.load(reply), [1, 2, 3])
    assert reply.read() == b""


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2),
        min_size=1,
        max_size=5,
    )
)
def test_every_float32_survives_json_both_ways(rows: list[list[float]]) -> None:
    made, _ = handler(LEFT)
    made.run = lambda tensors: [tensors["left"]]
    reply = json.loads(one(made, body({"instances": rows})))["predictions"]
    assert np.array_equal(np.array(reply, np.float32), np.array(rows, np.float32))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"body": b"{not json"}, "the body is not JSON"),
        ({"body": b""}, "the body is not JSON"),
        (body([[1, 2]]), '"instances" is a list with at least one row'),
        (body({"instances": []}), '"instances" is a list with at least one row'),
        (body({"inputs": [[1, 2]]}), '"instances" is a list with at least one row'),
        ({}, "neither a JSON body nor a field for each input"),
        (body({"instances": [[1, 2], [3]]}), "differ in shape"),
        (body({"instances": [[1, 2, 3]]}), r"shape \[1, 3\] does not fit \[None, 2\]"),
        (body({"instances": [1, 2]}), r"shape \[2\] does not fit"),
        (body({"instances": [["1", "2"]]}), "not all of type float32"),
        (body({"instances": [[None, 2]]}), "not all of type float32"),
        (body({"instances": [[True, False]]}), "not all of type float32"),
        (body({"instances": [{"left": [1, 2]}, {"right": [1, 2]}]}), "row 1 must be an object with the keys left"),
        (npy(left=np.zeros((1, 2))), "dtype float64 instead of float32"),
        (npy(left=np.zeros((2, 3), np.float32)), r"shape \[2, 3\] does not fit"),
        (npy(left=np.zeros((0, 2), np.float32)), "no rows"),
        ({"left": npy(left=np.zeros((9, 2), np.float32))["left"][:-5]}, r"not a whole \.npy file"),
    ],
)
def test_a_request_at_fault_is_refused_with_400(request_: dict[str, Any], words: str) -> None:
    made, sizes = handler(LEFT)
    with pytest.raises(PredictionException, match=words) as raised:
        made.handle([request_], context(1))
    assert raised.value.error_code == 400
    assert sizes == []


@pytest.mark.parametrize(("value", "words"), [(1.5, "not all of type int64"), (2**64, "not all of type int64")])
def test_no_number_is_rounded_for_an_integer_input(value: float, words: str) -> None:
    made, _ = handler(LEFT, RIGHT)
    with pytest.raises(PredictionException, match=words):
        made.handle([body({"instances": [{"left": [1, 2], "right": value}]})], context(1))


def test_an_integer_must_fit_its_type() -> None:
    small = {"name": "left", "dtype": "int8", "shape": [None, 2]}
    made, _ = handler(small)
    assert json.loads(one(made, body({"instances": [[-128, 63]]})))
    with pytest.raises(PredictionException, match="does not fit into int8"):
        made.handle([body({"instances": [[1, 128]]})], context(1))


def test_inputs_must_have_equal_numbers_of_rows() -> None:
    made, _ = handler(LEFT, RIGHT)
    with pytest.raises(PredictionException, match="differ in their number of rows"):
        made.handle([npy(left=np.zeros((2, 2), np.float32), right=np.zeros(3, np.int64))], context(1))


def test_pickles_are_not_loaded() -> None:
    made, _ = handler(LEFT)
    with pytest.raises(PredictionException, match=r"not a whole \.npy file"):
        made.handle([npy(left=np.array([[object(), 1]]))], context(1))


def test_a_batch_of_requests_runs_once_and_is_split_again() -> None:
    made, sizes = handler(LEFT, RIGHT)
    requests: list[dict[str, Any]] = [
        body({"instances": [{"left": [1, 2], "right": 1}]}),
        npy(left=np.array([[3, 4], [5, 6]], np.float32), right=np.array([2, 3])),
        body({"instances": [{"left": [7, 8], "right": 4}]}),
    ]
    first, second, third = made.handle(requests, context(3))
    assert sizes == [4]
    assert json.loads(first) == {"predictions": [{"doubled": [2, 4], "same": 1}]}
    assert json.loads(third) == {"predictions": [{"doubled": [14, 16], "same": 4}]}
    assert np.array_equal(np.load(io.BytesIO(second)), [[6, 8], [10, 12]])


def test_a_request_at_fault_does_not_spoil_the_others_of_its_batch() -> None:
    made, sizes = handler(LEFT)
    told = context(3)
    requests = [body({"instances": [[1, 2]]}), body({"instances": [["x", 2]]}), body({"instances": [[3, 4]]})]
    replies = made.handle(requests, told)
    assert [json.loads(reply) for reply in (replies[0], replies[2])] == [{"predictions": [[2, 4]]}, {"predictions": [[6, 8]]}]
    assert sizes == [2]
    assert [told.get_response_status(k)[0] for k in range(3)] == [200, 400, 200]
    assert "not all of type float32" in json.loads(replies[1])["message"]


def test_a_fixed_batch_is_kept_and_each_request_runs_by_itself() -> None:
    made, sizes = handler(LEFT, fixed_batch=2)
    good = body({"instances": [[1, 2], [3, 4]]})
    made.handle([good, good], context(2))
    assert sizes == [2, 2]
    with pytest.raises(PredictionException, match="batches of 2 rows, not 3"):
        made.handle([body({"instances": [[1, 2]] * 3})], context(1))


def test_it_is_python_3_9_as_the_stock_image_has_it_and_one_class() -> None:
    tree = ast.parse(Path(torchserve_handler.__file__).read_text(), feature_version=(3, 9))
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == ["ServeoffHandler"]
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime", "torch", "ts"}


def test_only_faults_of_the_server_reach_its_log() -> None:
    def record(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("ts.service", logging.ERROR, "", 0, "x", (), (type(error), error, None))

    assert not torchserve_handler._is_ours(record(PredictionException("bad rows", 400)))
    assert torchserve_handler._is_ours(record(RuntimeError("kernel failed")))
