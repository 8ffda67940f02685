"""Reads the SignatureDefs out of a saved_model.pb without TensorFlow, so that metadata shows them as they were written.

Fields (tensorflow/core/protobuf): SavedModel.meta_graphs 2; MetaGraphDef.meta_info_def 1, .signature_def 5 (a map: key 1, value 2);
MetaInfoDef.tags 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .status import Code, ServingError

_SERVE = b"serve"


def signature_defs(path: Path) -> dict[str, bytes]:
    """Name -> serialized SignatureDef of the `serve` graph. Raises ServingError (DATA_LOSS) for a damaged file."""
    try:
        for graph in _values(memoryview(path.read_bytes()), 2):
            tags = [bytes(tag) for info in _values(graph, 1) for tag in _values(info, 4)]
            if _SERVE in tags:
                return dict(_entry(entry) for entry in _values(graph, 5))
    except (IndexError, UnicodeDecodeError):
        raise ServingError(Code.DATA_LOSS, f"Can't parse {path} as binary proto") from None
    return {}


def _entry(data: memoryview) -> tuple[str, bytes]:
    keys, values = list(_values(data, 1)), list(_values(data, 2))
    return bytes(keys[-1]).decode() if keys else "", bytes(values[-1]) if values else b""


def _values(data: memoryview, wanted: int) -> Iterator[memoryview]:
    """The length-delimited fields number `wanted`. Raises IndexError when a length points beyond the end."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(data, place)
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError
        if place + length > len(data):
            raise IndexError
        if tag >> 3 == wanted and kind == 2:
            yield data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place, number, shift = place + 1, number | (byte & 127) << shift, shift + 7
        if byte < 128:
            return number, place
