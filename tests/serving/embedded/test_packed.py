"""The bulk way of reading and writing floats agrees with the ordinary one, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb
from serving.embedded import packed


def random_tensor(dtype: str, shape: list[int], seed: int) -> Any:
    """Any numbers, infinities and NaN included; a few bytes for strings."""
    if dtype == "string":
        texts = np.empty(shape, object)
        texts[...] = bytes([seed % 256, 0])
        return texts
    if dtype == "bool":
        return np.random.default_rng(seed).integers(0, 2, shape, np.uint8).astype(np.bool_)
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]
    # Python's floats cannot hold a signalling NaN, so the ordinary way changes its bits; the bulk way keeps them.
    return np.where(np.isnan(bits), np.array(np.nan, dtype), bits) if bits.dtype.kind == "f" else bits


@settings(deadline=None)
@given(
    st.sampled_from(["float32", "float64", "int64", "string", "bool", "float16"]),
    st.lists(st.integers(0, 40), max_size=3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_both_ways_agree(dtype: str, shape: list[int], content: bool, seed: int) -> None:
    array = random_tensor(dtype, shape, seed)
    mine = pb.TensorProto()
    packed.write(mine, array, content=content)
    ordinary = tensors.to_proto(array, content=content)
    assert mine.SerializeToString(deterministic=True) == ordinary.SerializeToString(deterministic=True)
    again = packed.read(ordinary)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tolist() == array.tolist() if dtype == "string" else again.tobytes() == array.tobytes()


@pytest.mark.parametrize("count", [1, 63, 64, 65, 100, 20_000])
def test_too_few_and_too_many_values(count: int) -> None:
    for size in (0, 1, 64, 99, 100, 101, 300):
        proto = pb.TensorProto(dtype=pb.DT_FLOAT, float_val=np.arange(count, dtype=np.float32).tolist())
        proto.tensor_shape.dim.add(size=size)
        assert packed.read(proto).tolist() == tensors.read(proto).tolist()


def test_a_negative_size_is_refused() -> None:
    proto = pb.TensorProto(dtype=pb.DT_FLOAT, float_val=[0.0] * 100)
    proto.tensor_shape.dim.add(size=-10)
    proto.tensor_shape.dim.add(size=-10)
    with pytest.raises(ValueError, match="negative"):
        packed.read(proto)
