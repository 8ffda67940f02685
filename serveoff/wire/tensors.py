"""numpy arrays <-> TensorProto, with TensorFlow's own rules (tensorflow/core/framework/tensor.cc, `Tensor::FromProto`).

A string tensor is an object array of `bytes`; arrays of `str`, fixed-width text and fixed-width bytes are taken as well.
numpy is imported on use, so that importing this module costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from serveoff.wire import tfs_pb2 as pb

if TYPE_CHECKING:
    from serveoff.plugins import Array

# numpy name -> (DataType, the typed field of TensorProto, the type in which that field's values are read and written)
_TABLE: dict[str, tuple[int, str, str]] = {
    "float32": (pb.DT_FLOAT, "float_val", "float32"),
    "float64": (pb.DT_DOUBLE, "double_val", "float64"),
    "float16": (pb.DT_HALF, "half_val", "uint16"),
    "int8": (pb.DT_INT8, "int_val", "int8"),
    "int16": (pb.DT_INT16, "int_val", "int16"),
    "int32": (pb.DT_INT32, "int_val", "int32"),
    "int64": (pb.DT_INT64, "int64_val", "int64"),
    "uint8": (pb.DT_UINT8, "int_val", "uint8"),
    "uint16": (pb.DT_UINT16, "int_val", "uint16"),
    "uint32": (pb.DT_UINT32, "uint32_val", "uint32"),
    "uint64": (pb.DT_UINT64, "uint64_val", "uint64"),
    "bool": (pb.DT_BOOL, "bool_val", "bool"),
    "complex64": (pb.DT_COMPLEX64, "scomplex_val", "float32"),
    "complex128": (pb.DT_COMPLEX128, "dcomplex_val", "float64"),
}
_BY_NUMBER = {number: (name, field, stored) for name, (number, field, stored) in _TABLE.items()}
_MAX_FILLED_BYTES = 2**31 - 1
"""A few bytes of proto can ask for any size by repeating one value; gRPC's own limit on a message bounds the honest ones."""

DATA_TYPES: dict[str, int] = {name: row[0] for name, row in _TABLE.items()} | {"string": pb.DT_STRING}
"""The name of a dtype (as in `serveoff.contract.DType`) -> its DataType number."""
DTYPES: dict[int, str] = {number: name for name, number in DATA_TYPES.items()}
"""The reverse."""


def write(proto: Any, array: Array, *, content: bool = True) -> None:
    """Fill an empty TensorProto. `content` puts the raw little-endian bytes into `tensor_content`, else the typed field is used.

    Strings always go into `string_val`. Raises ValueError for a dtype that TensorProto has no place for.
    """
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    shape = proto.tensor_shape
    shape.SetInParent()  # a scalar has a shape too
    for size in array.shape:
        shape.dim.add(size=size)
    row = _TABLE.get(array.dtype.name)
    if row is None:
        proto.dtype = pb.DT_STRING
        proto.string_val.extend(_texts(array))
        return
    proto.dtype, field, stored = row
    if content:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, field).extend(array.ravel().view(stored).tolist())


def to_proto(array: Array, *, content: bool = True) -> pb.TensorProto:
    """`write` into a new TensorProto."""
    proto = pb.TensorProto()
    write(proto, array, content=content)
    return proto


def read(proto: Any) -> Array:
    """The array of a TensorProto; it is read-only where it shares the message's bytes.

    As in TensorFlow: `tensor_content` wins over the typed field and must fit exactly; too few typed values are filled up with the last one
    (with zero or the empty string where there is none), values beyond the shape are ignored.
    Raises ValueError for a negative size, a shape that does not fit its content or an unsupported dtype.
    """
    import numpy as np

    shape = [dim.size for dim in proto.tensor_shape.dim]
    if min(shape, default=0) < 0:
        raise ValueError(f"a tensor has the shape {shape}: sizes must not be negative")
    count = math.prod(shape)
    if proto.dtype == pb.DT_STRING:
        return _read_strings(proto, count).reshape(shape)
    row = _BY_NUMBER.get(proto.dtype)
    if row is None:
        name = pb.DataType.Name(proto.dtype) if proto.dtype in pb.DataType.values() else str(proto.dtype)
        raise ValueError(f"tensors of type {name} are not supported")
    name, field, stored = row
    dtype = np.dtype(name)
    content = proto.tensor_content
    if content and count:
        if len(content) != count * dtype.itemsize:
            raise ValueError(f"tensor_content has {len(content)} bytes, the shape {shape} of {name} needs {count * dtype.itemsize}")
        return np.frombuffer(content, dtype).reshape(shape)
    return _fill(_typed(getattr(proto, field), stored, dtype), count, dtype).reshape(shape)


def _typed(values: Any, stored: str, dtype: Any) -> Array:
    """The values of a typed field as `dtype`; integers wrap around as TensorFlow's casts do, half and complex are stored as parts."""
    import numpy as np

    if dtype.kind in "iu":
        wide = np.uint64 if stored == "uint64" else np.int64
        return np.fromiter(values, wide, len(values)).astype(dtype)
    if stored == "uint16":
        return np.fromiter(values, np.int64, len(values)).astype(np.uint16).view(dtype)
    raw = np.fromiter(values, stored, len(values))
    return raw[: len(raw) // 2 * 2].view(dtype) if dtype.kind == "c" else raw


def _fill(values: Array, count: int, dtype: Any) -> Array:
    import numpy as np

    if len(values) >= count:
        return values[:count]
    if count * dtype.itemsize > _MAX_FILLED_BYTES:
        raise ValueError(f"a tensor of {count} values is too large to be filled from {len(values)}")
    filled = np.zeros(count, dtype)
    filled[: len(values)] = values
    if len(values):
        filled[len(values) :] = values[-1]
    return filled


def _texts(array: Array) -> Iterable[bytes]:
    encode: Callable[[Any], bytes] = _bytes_of
    if array.dtype.kind not in "OSU":
        raise ValueError(f"tensors of type {array.dtype} are not supported")
    return [encode(value) for value in array.ravel().tolist()]


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"a string tensor holds {value!r}, which is neither text nor bytes")


def _read_strings(proto: Any, count: int) -> Array:
    import numpy as np

    if proto.tensor_content and count:
        values = _split_strings(proto.tensor_content, count)
    else:
        values = list(proto.string_val[:count])
        if count * 8 > _MAX_FILLED_BYTES:
            raise ValueError(f"a tensor of {count} strings is too large to be filled from {len(values)}")
        values += [values[-1] if values else b""] * (count - len(values))
    array = np.empty(count, object)
    array[:] = values
    return array


def _split_strings(content: bytes, count: int) -> list[bytes]:
    """TensorFlow's packed strings: all lengths as varints, then all bytes."""
    lengths, place = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if place >= len(content) or shift > 63:
                raise ValueError("tensor_content of a string tensor ends within its lengths")
            byte = content[place]
            place, length, shift = place + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise ValueError("tensor_content of a string tensor does not fit its lengths")
    values = []
    for length in lengths:
        values.append(content[place : place + length])
        place += length
    return values
