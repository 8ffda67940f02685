"""int8 from a float32 ONNX file by ONNX Runtime's quantiser, and the rows that calibrate it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serveoff import onnx_file
from serveoff.plugins import Array, Tensors

CALIBRATION_ROWS = 128
"""TensorFlow Lite's guide asks for 100 to 500 typical rows."""

_AT_ONCE = 16

_HOLD_WEIGHTS = ["MatMul", "Gemm", "Gather"]
"""What is made int8 where nothing is convolved. Between convolutions all of it stays int8; between products of matrices the steps up to
int8 and back cost accuracy and time: BERT-Tiny is off by 0.05 on average instead of 0.57, 66 % of GNMT's words stay instead of 50 %, and
the quantiser's time grows with the square of their number (GNMT: 280 s instead of 28 s).
"""


def calibration(samples: Tensors, rows: int) -> Iterator[dict[str, Array]]:
    """The first samples, `rows` at a time."""
    count = min(CALIBRATION_ROWS, len(next(iter(samples.values()))))
    for start in range(0, count, rows):
        yield {name: values[start : min(start + rows, count)] for name, values in samples.items()}


def quantise(float32: Path, path: Path, precision: str, samples: Tensors) -> None:
    """Write the int8 variant of `float32` to `path`, which may be the same; tensors in and out stay as they are.

    `int8_dynamic`: int8 weights, activations scaled at run time. `int8`: both, calibrated on the samples. Activations are unsigned and
    weights signed, the pair that ONNX Runtime recommends for x86-64, and the weights have 7 bits and a scale for each channel: without VNNI
    a processor adds two products in 16 bits, which 8 bits overflow (onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    The answers of a small model were off by a quarter of their spread, and are by a hundredth.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    large = onnx_file.beside(float32).exists()
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "made.onnx"
        quant_pre_process(
            float32,
            prepared,
            skip_symbolic_shape=True,  # the graphs tell their shapes
            save_as_external_data=large,
            all_tensors_to_one_file=True,
            external_data_location=onnx_file.beside(prepared).name,
        )
        common: dict[str, Any] = {
            "weight_type": QuantType.QInt8,
            "per_channel": True,
            "reduce_range": True,
            "use_external_data_format": large,
        }
        if precision == "int8_dynamic":
            quantize_dynamic(prepared, made, **common)
        else:
            convolves = any(node.op_type == "Conv" for node in onnx.load(prepared, load_external_data=False).graph.node)
            quantize_static(
                prepared,
                made,
                _reader(samples),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                op_types_to_quantize=None if convolves else _HOLD_WEIGHTS,
                **common,
            )
        onnx_file.save(onnx.load(made), path)  # a quarter of the size: it may fit into one file


def _reader(samples: Tensors) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = calibration(samples, _AT_ONCE)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._batches, None)

    return Reader()
