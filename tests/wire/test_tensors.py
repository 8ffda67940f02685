"""numpy <-> TensorProto without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

NUMERIC = [name for name in tensors.DATA_TYPES if name != "string"]


@pytest.mark.parametrize("content", [True, False])
@pytest.mark.parametrize("name", NUMERIC)
def test_every_dtype_comes_back(name: str, content: bool) -> None:
    array = np.arange(6).reshape(3, 2).astype(name)
    array[1, 1] = np.iinfo(name).min if array.dtype.kind in "iu" else 1
    sent = tensors.to_proto(array, content=content)
    back = tensors.read(pb.TensorProto.FromString(sent.SerializeToString()))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert bool(sent.tensor_content) is content


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]), hnp.array_shapes(min_dims=0, min_side=0)
    ),
    st.booleans(),
)
def test_any_array_comes_back_to_the_bit(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], content: bool) -> None:
    back = tensors.read(tensors.to_proto(array, content=content))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    # a NaN's payload does not survive the float conversions of a typed field
    assert back.tobytes() == array.tobytes() if content else np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.array([b"a\0", b"\xff"], object), [b"a\0", b"\xff"]),
        (np.array(["é", "b"]), ["é".encode(), b"b"]),
        (np.array([b"a", b"bc"]), [b"a", b"bc"]),
        (np.array("x", object), b"x"),
        (np.array([], object), []),
    ],
)
def test_strings_come_back_as_bytes(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], wanted: object) -> None:
    back = tensors.read(tensors.to_proto(array))
    assert back.dtype == object
    assert back.shape == array.shape
    assert back.tolist() == wanted


def test_arrays_that_are_not_plain_are_sent_by_value() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    for odd in (array.T, array[::2], array.astype(">f4")):
        for content in (True, False):
            assert np.array_equal(tensors.read(tensors.to_proto(odd, content=content)), odd)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([1], object), "neither text nor bytes"),
        (np.zeros(1, "datetime64[s]"), "not supported"),
        (np.zeros(1, "V4"), "not supported"),
    ],
)
def test_what_has_no_place_is_refused(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tensors.to_proto(array)


@pytest.mark.parametrize("dtype", [pb.DT_BFLOAT16, pb.DT_RESOURCE, 999])
def test_unknown_types_are_refused(dtype: int) -> None:
    message = pb.TensorProto.FromString(bytes([8]) + bytes([dtype & 127 | 128, dtype >> 7]))
    with pytest.raises(ValueError, match="not supported"):
        tensors.read(message)


@pytest.mark.parametrize("dtype", [pb.DT_FLOAT, pb.DT_STRING])
def test_a_few_bytes_cannot_ask_for_all_memory(dtype: int) -> None:
    message = pb.TensorProto(dtype=pb.DataType.Name(dtype), float_val=[1], string_val=[b"x"])
    message.tensor_shape.dim.add(size=1 << 40)
    with pytest.raises(ValueError, match="too large"):
        tensors.read(message)


def test_the_wire_needs_no_framework() -> None:
    code = "import sys, serveoff.wire.tensors; print([m for m in ('numpy', 'tensorflow', 'torch', 'grpc') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
