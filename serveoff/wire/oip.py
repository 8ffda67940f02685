"""numpy arrays <-> tensors of the Open Inference Protocol: its names for types, and raw bytes as gRPC and the binary extension send them.

Raw: little-endian, row-major, without padding; a boolean is one byte; of a BYTES tensor each element is its length (uint32) and its bytes.
numpy is imported on use, so that importing this module costs nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec
    from serveoff.plugins import Array, Tensors

DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
"""The name of a dtype (as in `serveoff.contract.DType`) -> the protocol's name."""
DTYPES: Mapping[str, str] = {datatype: dtype for dtype, datatype in DATATYPES.items()}
"""The reverse."""
_LENGTH = struct.Struct("<I")


def tensor_of(spec: TensorSpec, inputs: Tensors) -> Array:
    """The array of this input. Raises ValueError where it is missing, or of another type than the manifest's."""
    if spec.name not in inputs:
        raise ValueError(f"input {spec.name!r} is missing, there are {sorted(inputs)}")
    array = inputs[spec.name]
    dtype = "string" if array.dtype.kind in "OSU" else array.dtype.name
    if dtype != spec.dtype:
        raise ValueError(f"input {spec.name!r} is {dtype}, the model takes {spec.dtype}")
    return array


def to_raw(array: Array) -> bytes:
    """The bytes of a tensor. Raises ValueError for an element that is neither text nor bytes."""
    if array.dtype.kind in "OSU":
        return b"".join(_LENGTH.pack(len(value)) + value for value in map(as_bytes, array.ravel().tolist()))
    raw: bytes = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return raw


def from_raw(datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """The array, read-only. Raises ValueError for an unknown type, a negative size, or bytes that do not fill the shape exactly."""
    import numpy as np

    count = checked_count(datatype, shape)
    if datatype == "BYTES":
        array = np.empty(count, object)
        array[:] = _split(raw, count)
        return array.reshape(shape)
    dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        raise ValueError(f"there are {len(raw)} bytes, the shape {list(shape)} of {datatype} needs {count * dtype.itemsize}")
    return np.frombuffer(raw, dtype).reshape(shape)


def checked_count(datatype: str, shape: Sequence[int]) -> int:
    """How many elements a tensor has. Raises ValueError for an unknown type or an impossible shape."""
    if datatype not in DTYPES:
        raise ValueError(f"{datatype!r} is no type of the Open Inference Protocol")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{list(shape)} is no shape")
    return math.prod(shape)


def as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"a text tensor holds {value!r}, which is neither text nor bytes")


def _split(raw: bytes, count: int) -> list[bytes]:
    values, place = list[bytes](), 0
    while len(values) < count and place + _LENGTH.size <= len(raw):
        start = place + _LENGTH.size
        place = start + _LENGTH.unpack_from(raw, place)[0]
        values.append(raw[start:place])
    if len(values) != count or place != len(raw):
        raise ValueError(f"the {len(raw)} bytes of a BYTES tensor are not the {count} elements of its shape")
    return values
