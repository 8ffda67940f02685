"""The metadata that TF Serving reads: FlexBuffer map of SignatureDefs, in a file that is otherwise the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

from serveoff import tflite_names
from serveoff.tflite_names import METADATA, with_names
from serveoff.wire import tfs_pb2

MakeTflite = Callable[..., bytes]


def definitions(content: bytes) -> dict[str, Any]:
    """Read as TF Serving reads it: SignatureDefs end at the first zero byte."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (entry,) = [m for m in model.metadata if m.name.decode() == METADATA]
    found = flexbuffers.GetRoot(bytearray(model.buffers[entry.buffer].data)).AsMap
    return {key.AsKey: tfs_pb2.SignatureDef.FromString(bytes(found[key.AsKey].AsStringBytes).split(b"\0")[0]) for key in found.Keys}


def test_the_names_are_written_where_tf_serving_reads_them(make_tflite: MakeTflite) -> None:
    found = definitions(with_names(make_tflite()))
    assert list(found) == ["serving_default"]
    definition = found["serving_default"]
    assert definition.method_name == "tensorflow/serving/predict"
    assert {key: info.name for key, info in definition.inputs.items()} == {"x": "serving_default_x:0"}
    assert {key: info.name for key, info in definition.outputs.items()} == {"y": "StatefulPartitionedCall:0"}
    assert definition.inputs["x"].dtype == tfs_pb2.DT_FLOAT
    assert [dim.size for dim in definition.inputs["x"].tensor_shape.dim] == [-1, 3]


def test_the_tensor_names_exist_in_the_file(make_tflite: MakeTflite) -> None:
    content = with_names(make_tflite())
    interpreter = Interpreter(model_content=content)
    definition = definitions(content)["serving_default"]
    assert {info.name for info in definition.inputs.values()} == {d["name"] for d in interpreter.get_input_details()}
    assert {info.name for info in definition.outputs.values()} == {d["name"] for d in interpreter.get_output_details()}


def test_the_model_computes_the_same(make_tflite: MakeTflite) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for content in (make_tflite(), with_names(make_tflite())):
        assert Interpreter(model_content=content).get_signature_runner("serving_default")(x=x)["y"].tolist() == (2 * x).tolist()


def test_weights_stay_and_are_aligned(make_tflite: MakeTflite) -> None:
    weights = bytes(range(256)) * 3
    content = with_names(make_tflite(weights=weights))
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    assert any(b.DataLength() and b.DataAsNumpy().tobytes() == weights for b in buffers)
    places = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(places) == 2
    assert all(place % 16 == 0 for place in places)


def test_a_file_that_has_them_or_cannot_have_them_is_left_alone(make_tflite: MakeTflite) -> None:
    named = with_names(make_tflite())
    assert with_names(named) == named
    unsigned = make_tflite(signed=False)
    assert with_names(unsigned) == unsigned


def test_weights_that_lie_behind_the_flatbuffer_are_put_into_it(make_tflite: MakeTflite) -> None:
    weights = bytes(range(256)) * 3
    model = schema.ModelT.InitFromPackedBuf(make_tflite(weights=weights), 0)
    place = next(buffer for buffer in model.buffers if buffer.data is not None)
    place.data, place.offset, place.size = None, 1 << 20, len(weights)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output()).ljust(1 << 20, b"\0") + weights
    inside = schema.ModelT.InitFromPackedBuf(with_names(content), 0)
    assert any(buffer.data is not None and bytes(buffer.data) == weights for buffer in inside.buffers)
    assert all(buffer.offset == 0 for buffer in inside.buffers)


def test_a_file_that_is_too_large_for_one_flatbuffer(make_tflite: MakeTflite, monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_tflite()
    monkeypatch.setattr(tflite_names, "_LARGEST_BYTES", len(content) - 1)
    with pytest.raises(ValueError, match="too large"):
        with_names(content)


def test_names_that_a_converter_has_changed_since_are_written_anew(make_tflite: MakeTflite) -> None:
    model = schema.ModelT.InitFromPackedBuf(with_names(make_tflite()), 0)
    model.subgraphs[0].tensors[0].name = b"renamed"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    assert with_names(content) is content
    assert definitions(with_names(content, anew=True))["serving_default"].inputs["x"].name == "renamed"


def test_a_type_that_tf_serving_does_not_know(make_tflite: MakeTflite) -> None:
    with pytest.raises(ValueError, match="'x' is of type FLOAT16, which TF Serving does not know"):
        with_names(make_tflite(dtype=schema.TensorType.FLOAT16))
