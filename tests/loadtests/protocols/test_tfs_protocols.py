"""TF Serving's two protocols: what goes over the wire, and what is made of a reply. Against running servers: tests/serving/servers."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
from serveoff.wire import tensors, tfs_pb2

from .manifests import manifest, spec

ENDPOINT = Endpoint(protocol="tfs_grpc", host="127.0.0.1", port=1, model_name="digits")

MANIFEST = manifest((spec("b", "float32", 2), spec("a", "string")), (spec("y", "float32", 2),))
INPUTS = {"a": np.array([b"x", b"\xff"], object), "b": np.array([[0.1, 2], [3, 4]], np.float32)}


def test_rest_posts_rows_to_predict() -> None:
    protocol = PROTOCOLS.load("tfs_rest")
    assert (protocol.transport, protocol.encoding) == ("http", "json")
    assert protocol.path(ENDPOINT) == "/v1/models/digits:predict"
    body = protocol.encode(MANIFEST, ENDPOINT, INPUTS)
    assert body == b'{"instances":[{"b":[0.1,2.0],"a":"x"},{"b":[3.0,4.0],"a":{"b64":"/w=="}}]}'
    assert protocol.decode(MANIFEST, b'{"predictions": [[1, 2]]}')["y"].tolist() == [[1.0, 2.0]]


def test_grpc_calls_predict_with_raw_tensors() -> None:
    protocol = PROTOCOLS.load("tfs_grpc")
    assert (protocol.transport, protocol.encoding) == ("grpc", "binary")
    assert protocol.path(ENDPOINT) == "/tensorflow.serving.PredictionService/Predict"
    request = tfs_pb2.PredictRequest.FromString(protocol.encode(MANIFEST, ENDPOINT, INPUTS))
    assert (request.model_spec.name, request.model_spec.signature_name) == ("digits", "serving_default")
    assert not request.model_spec.HasField("version")
    assert request.inputs["b"].tensor_content == INPUTS["b"].tobytes()
    assert tensors.read(request.inputs["a"]).tolist() == [b"x", b"\xff"]


def test_grpc_makes_equal_bytes_of_equal_tensors() -> None:
    protocol = PROTOCOLS.load("tfs_grpc")
    other_order = msgspec.structs.replace(MANIFEST, inputs=MANIFEST.inputs[::-1])
    assert protocol.encode(MANIFEST, ENDPOINT, INPUTS) == protocol.encode(other_order, ENDPOINT, INPUTS)


@pytest.mark.parametrize("content", [True, False])
def test_grpc_reads_raw_and_typed_replies(content: bool) -> None:
    reply = tfs_pb2.PredictResponse()
    tensors.write(reply.outputs["y"], np.array([[1.5, 2]], np.float32), content=content)
    answer = PROTOCOLS.load("tfs_grpc").decode(MANIFEST, reply.SerializeToString())
    assert {name: array.tolist() for name, array in answer.items()} == {"y": [[1.5, 2.0]]}


@pytest.mark.parametrize(("reply", "words"), [(b"\xff\xff", "no PredictResponse"), (b"", "has no outputs")])
def test_grpc_replies_that_are_no_answer(reply: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PROTOCOLS.load("tfs_grpc").decode(MANIFEST, reply)


@pytest.mark.parametrize("name", ["tfs_rest", "tfs_grpc"])
def test_a_missing_input_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="input 'b' is missing"):
        PROTOCOLS.load(name).encode(MANIFEST, ENDPOINT, {"a": INPUTS["a"]})


def test_a_load_process_needs_no_framework() -> None:
    load = "[PROTOCOLS.load(name) for name in ('tfs_rest', 'tfs_grpc')]"
    code = f"import sys; from serveoff.registry import PROTOCOLS; {load}; print(list(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'loadtests.protocols.tfs_grpc'" in done.stdout
    assert not [m for m in ("tensorflow", "torch", "onnx", "grpc", "locust") if f"'{m}'" in done.stdout]
