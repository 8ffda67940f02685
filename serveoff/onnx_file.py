"""An ONNX file, and the weights that lie beside it where they are too large for it: protobuf writes and reads less than 2 GiB at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

ONE_FILE_BYTES = 2_000_000_000
"""Weights of so many bytes and more lie beside the graph, which gets the rest of protobuf's 2 GiB."""


def beside(path: Path) -> Path:
    """Where the weights of `path` lie, if not in it: the name that PyTorch's exporter and ONNX Runtime's quantiser give it, too."""
    return path.with_name(f"{path.name}.data")


def fits(weights_bytes: int) -> bool:
    """Whether one file holds a graph with weights of this size."""
    return weights_bytes < ONE_FILE_BYTES


def save(model: Any, path: Path) -> None:
    """Write a model (`onnx.ModelProto`, its weights loaded) to `path`, in one file if it fits; a file beside it is replaced or deleted."""
    import onnx

    beside(path).unlink(missing_ok=True)
    apart = not fits(sum(_bytes(tensor) for tensor in model.graph.initializer))
    onnx.save_model(model, path, save_as_external_data=apart, location=beside(path).name)
    if apart:
        beside(path).chmod(path.stat().st_mode)  # onnx lets nobody else read it, and a server in an image is somebody else


def _bytes(tensor: Any) -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    return int(math.prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
