"""Typed float and double fields of TensorProto in bulk: protobuf packs them as the very bytes that numpy has.

Through Python's sequence protocol 150,000 floats take 9 ms to read and 8 ms to write; this way 0.1 ms each (measured). Everything else, and
every rule, is in `serveoff.wire.tensors`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

if TYPE_CHECKING:
    from serveoff.plugins import Array

_FEW = 64
"""Below this many values the ordinary way is as fast."""

_FIELDS: dict[int, tuple[str, np.dtype[Any]]] = {
    int(pb.DT_FLOAT): ("float_val", np.dtype("<f4")),
    int(pb.DT_DOUBLE): ("double_val", np.dtype("<f8")),
}
_TAGS: dict[np.dtype[Any], int] = {np.dtype(np.float32): 5 << 3 | 2, np.dtype(np.float64): 6 << 3 | 2}


def read(proto: Any) -> Array:
    """As `serveoff.wire.tensors.read`. Raises ValueError."""
    field = _FIELDS.get(proto.dtype)
    if field is not None and not proto.tensor_content:
        name, dtype = field
        values = getattr(proto, name)
        shape = [dim.size for dim in proto.tensor_shape.dim]
        if len(values) >= _FEW and min(shape, default=0) >= 0 and math.prod(shape) == len(values):
            alone = pb.TensorProto()
            getattr(alone, name).MergeFrom(values)
            data = alone.SerializeToString()
            return np.frombuffer(data, dtype, offset=len(data) - dtype.itemsize * len(values)).reshape(shape)
    return tensors.read(proto)


def write(proto: Any, array: Array, *, content: bool) -> None:
    """As `serveoff.wire.tensors.write`, into an empty TensorProto. Raises ValueError."""
    tag = _TAGS.get(array.dtype)
    if content or tag is None:
        tensors.write(proto, array, content=content)
        return
    single = array.dtype == np.float32
    proto.dtype = pb.DT_FLOAT if single else pb.DT_DOUBLE
    proto.tensor_shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.size < _FEW:
        (proto.float_val if single else proto.double_val).extend(array.ravel().tolist())
        return
    data = array.tobytes()
    proto.MergeFromString(bytes([tag]) + _varint(len(data)) + data)


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
