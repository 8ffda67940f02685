"""The JSON row form: what is written comes back exactly, and replies of every kind are read or refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from loadtests.rows import rows_from_json, rows_json, shortest
from serveoff.contract import DType

from .manifests import manifest, spec

ONE = manifest((spec("x", "float32", 2),), (spec("y", "float32", 2),))
TWO = manifest((spec("a", "float32", 2), spec("n", "int64", 2)), (spec("y", "float32", 2), spec("label", "string", 2)))


def test_one_input_is_sent_bare() -> None:
    body = rows_json(ONE, {"x": np.array([[0.1, 1], [2.5, -0.0]], np.float32)})
    assert body == b'{"instances":[[0.1,1.0],[2.5,-0.0]]}'


def test_several_inputs_are_sent_as_objects() -> None:
    body = rows_json(TWO, {"n": np.array([3, 4]), "a": np.array([[1], [2]], np.float32)})
    assert body == b'{"instances":[{"a":[1.0],"n":3},{"a":[2.0],"n":4}]}'


def test_text_and_bytes() -> None:
    body = rows_json(manifest((spec("t", "string", 2),)), {"t": np.array(["é".encode(), b"\xff"], object)})
    assert json.loads(body) == {"instances": ["é", {"b64": "/w=="}]}


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, min_side=0)))
@example(np.array([7.038531e-26], np.float32))  # its shortest float32 text comes back wrong by way of float64
@example(np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38], np.float32))
def test_every_float32_comes_back_through_a_server_that_reads_float64(array: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    read = np.array(json.loads(rows_json(ONE, {"x": array}))["instances"], np.float64).astype(np.float32).reshape(array.shape)
    assert np.array_equal(read, array, equal_nan=True)
    assert np.array_equal(np.signbit(read)[~np.isnan(array)], np.signbit(array)[~np.isnan(array)])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_text_is_the_shortest(value: float) -> None:
    text = repr(shortest(np.array([value], np.float32)).tolist()[0])
    known = str(np.float32(value))
    assert float(text) == float(known) or np.float32(np.float64(known)) != np.float32(value)


def test_float16_and_float64() -> None:
    numbers = np.array([0.1, 65504, 6e-8], np.float16)
    half = rows_json(manifest((spec("x", "float16", 2),)), {"x": numbers})
    assert np.array(json.loads(half)["instances"], np.float64).astype(np.float16).tolist() == numbers.tolist()
    double = rows_json(manifest((spec("x", "float64", 2),)), {"x": np.array([0.1, 1.5e10])})
    assert double == b'{"instances":[0.1,15000000000.0]}'


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"a": np.zeros(2, np.float32)}, "input 'n' is missing"),
        ({"a": np.zeros(2, np.float32), "n": np.zeros(3, np.int64)}, "unequal numbers of rows"),
        ({"a": np.zeros(2), "n": np.zeros(2, np.int64)}, "input 'a' is float64, the model takes float32"),
        ({"a": np.float32(1).reshape(()), "n": np.zeros(2, np.int64)}, "input 'a' has no rows"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rows_json(TWO, inputs)


def test_replies_with_one_output() -> None:
    for reply in (b'{"predictions": [[1, 2.5]]}', b'{\n    "predictions": [[1.0, 2.5]\n    ]\n}', b'{"predictions": [{"y": [1, 2.5]}]}'):
        answer = rows_from_json(ONE, reply)
        assert answer["y"].dtype == np.float32
        assert {name: array.tolist() for name, array in answer.items()} == {"y": [[1.0, 2.5]]}


@pytest.mark.parametrize(
    ("dtype", "text", "wanted"),
    [
        ("int64", "[1, -2]", [1, -2]),
        ("uint64", "[1, 18446744073709551615]", [1, 2**64 - 1]),
        ("int8", "[-128, 127]", [-128, 127]),
        ("bool", "[true, false]", [True, False]),
        ("float64", "[1, 0.1]", [1.0, 0.1]),
        ("float32", "[]", []),
    ],
)
def test_replies_of_every_kind(dtype: DType, text: str, wanted: list[Any]) -> None:
    array = rows_from_json(manifest((), (spec("y", dtype, 2),)), f'{{"predictions": {text}}}'.encode())["y"]
    assert array.dtype == dtype
    assert array.tolist() == wanted


def test_replies_with_several_outputs() -> None:
    answer = rows_from_json(TWO, b'{"predictions": [{"y": 1, "label": "\xc3\xa9"}, {"y": 2, "label": {"b64": "/w=="}, "more": 1}]}')
    assert answer["y"].tolist() == [1.0, 2.0]
    assert answer["label"].tolist() == ["é".encode(), b"\xff"]


def test_words_that_json_does_not_know() -> None:
    answer = rows_from_json(ONE, b'{"predictions": [NaN, Infinity, -Infinity]}')["y"]
    assert np.array_equal(answer, np.array([np.nan, np.inf, -np.inf], np.float32), equal_nan=True)


def test_text_of_some_rank() -> None:
    answer = rows_from_json(manifest((), (spec("t", "string", 2),)), b'{"predictions": [["a", "b"], ["c", "d"]]}')["t"]
    assert answer.tolist() == [[b"a", b"b"], [b"c", b"d"]]
    assert rows_from_json(manifest((), (spec("t", "string", 2),)), b'{"predictions": []}')["t"].shape == (0,)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"error": "Servable not found for request: Latest(m)"}', r"Servable not found for request: Latest\(m\)"),
        (b'{"code": 503, "type": "x", "message": "Prediction failed"}', "Prediction failed"),
        (b'{"outputs": [1]}', "no 'predictions', only"),
        (b"[1]", "no object with 'predictions'"),
        (b"<html>", "not JSON: '<html>'"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"predictions": [[1], [1, 2]]}', "'y' is no float32 tensor"),
        (b'{"predictions": ["a"]}', "'y' is no float32 tensor"),
        (b'{"predictions": [null]}', "'y' is no float32 tensor"),
        (b'{"predictions": ["1.5"]}', "'y' is no float32 tensor"),
        (b'{"predictions": [true]}', "'y' is no float32 tensor"),
        (b'{"predictions": [{"z": 1}]}', "'y' is no float32 tensor"),
    ],
)
def test_replies_that_are_no_answer(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rows_from_json(ONE, reply)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b'{"predictions": [{"y": 1}]}', r"row 0 .* the outputs \['label', 'y'\], it is \['y'\]"),
        (b'{"predictions": [1]}', "row 0 .* it is int"),
        (b'{"predictions": [{"y": 1, "label": 2}]}', "'label' is no string tensor"),
        (b'{"predictions": [{"y": 1, "label": {"b64": "?"}}]}', "'label' is no string tensor"),
        (b'{"predictions": [{"y": 1, "label": ["a"]}, {"y": 1, "label": ["a", "b"]}]}', "'label' is no string tensor"),
    ],
)
def test_replies_with_several_outputs_that_are_no_answer(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rows_from_json(TWO, reply)
