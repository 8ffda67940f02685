"""`PYTHON litert_torch_child.py SOURCE PRECISION OUT`: a `torch.export` program (.pt2), or its float32 file (.tflite), as TFLite.

Runs in the environment of `make litert-torch`, where nothing of ours is installed: it imports nothing of ours. The program's inputs by
keyword and its outputs by key become the names of the signature `serving_default`; their types stay as they are, 64 bits included.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    source, precision, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    if source.suffix == ".pt2":
        convert(source, out)
        source = out
    if precision != "float32":
        quantise(source, precision, out)


def convert(program: Path, out: Path) -> None:
    import litert_torch
    import torch

    exported = torch.export.load(program)
    _, inputs = exported.example_inputs
    litert_torch.convert(exported.module(), sample_kwargs=inputs, enable_x64=True).export(str(out))


def quantise(float32: Path, precision: str, out: Path) -> None:
    """The float16 or int8_dynamic variant, without PyTorch; tensors in and out stay as they are. `out` may be the same file."""
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import ComputePrecision, OpQuantizationConfig, TensorDataType, TensorQuantizationConfig, TFLOperationName

    one = quantizer.Quantizer(str(float32))
    everything = (".*", TFLOperationName.ALL_SUPPORTED)
    if precision == "float16":
        halves = OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        one.update_quantization_recipe(*everything, halves, AlgorithmName.FLOAT_CASTING)
    else:
        one.add_dynamic_config(*everything, num_bits=8)
    one.quantize().export_model(str(out), overwrite=True)


if __name__ == "__main__":
    main()
