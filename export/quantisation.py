"""int8 from a float32 ONNX file by ONNX Runtime's quantiser, and the rows that calibrate it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serveoff.plugins import Array, Tensors

CALIBRATION_ROWS = 128
"""TensorFlow Lite's guide asks for 100 to 500 typical rows."""

_AT_ONCE = 16


def calibration(samples: Tensors, rows: int) -> Iterator[dict[str, Array]]:
    """The first samples, `rows` at a time."""
    count = min(CALIBRATION_ROWS, len(next(iter(samples.values()))))
    for start in range(0, count, rows):
        yield {name: values[start : min(start + rows, count)] for name, values in samples.items()}


def quantise(path: Path, precision: str, samples: Tensors) -> None:
    """Make `path` (float32) its own int8 variant; tensors in and out stay as they are.

    `int8_dynamic`: int8 weights, activations scaled at run time. `int8`: both, calibrated on the samples; u8s8, the pair that ONNX Runtime
    recommends for x86-64.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / path.name
        quant_pre_process(path, prepared, skip_symbolic_shape=True)  # the graphs tell their shapes
        if precision == "int8_dynamic":
            quantize_dynamic(prepared, path, weight_type=QuantType.QInt8)
            return
        quantize_static(
            prepared,
            path,
            _reader(samples),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_attention(prepared),
        )


def _attention(path: Path) -> list[str]:
    """Each softmax, and the node that masks its scores: a mask of -1e9 would make one step of int8 of all scores together."""
    import onnx

    nodes = onnx.load(str(path)).graph.node
    made_by = {name: node for node in nodes for name in node.output}
    softmax = [node for node in nodes if node.op_type == "Softmax"]
    masking = [made_by[node.input[0]] for node in softmax if node.input[0] in made_by]
    return [node.name for node in (*softmax, *(node for node in masking if node.op_type in ("Add", "Where")))]


def _reader(samples: Tensors) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = calibration(samples, _AT_ONCE)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    return Reader()
