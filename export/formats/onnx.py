"""ONNX: from PyTorch by the dynamo exporter, from Keras by tf2onnx; int8 from either by ONNX Runtime.

In one file, weights and all; those that are too large for it lie beside it (`serveoff.onnx_file`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serveoff import onnx_file
from serveoff.plugins import ExportJob, Format, Source

from ..quantisation import quantise
from ..tolerances import FLOAT32, INT8
from . import savedmodel

SERVE_FILE = "model.onnx"
OPSET = 18
"""The newest that tf2onnx knows."""

PRECISIONS = {"float32": FLOAT32, "int8": INT8, "int8_dynamic": INT8}
LACKS = {
    "float16": "ONNX Runtime has hardly any arithmetic in float16 on a CPU: it casts to float32 and back around each operator",
    "bfloat16": "ONNX Runtime has no arithmetic in bfloat16 on a CPU",
}


def from_pytorch(job: ExportJob) -> dict[str, str | int | float | bool]:
    import onnx_ir
    import torch

    path = job.directory / SERVE_FILE
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        job.model,
        tuple(torch.from_numpy(job.samples[t.name][:2]) for t in job.spec.inputs),  # an example batch of 1 would be fixed
        dynamo=True,
        input_names=[t.name for t in job.spec.inputs],
        output_names=[t.name for t in job.spec.outputs],
        dynamic_shapes=tuple({0: batch} for _ in job.spec.inputs),
    )
    assert program is not None
    weights_bytes = sum(weight.const_value.nbytes for weight in program.model.graph.initializers.values() if weight.const_value is not None)
    # `program.save` would put them beside it from 1.5 GiB on
    onnx_ir.save(program.model, path, external_data=None if onnx_file.fits(weights_bytes) else onnx_file.beside(path).name)
    return {"method": "dynamo", **_finish(path, job)}


def from_keras(job: ExportJob) -> dict[str, str | int | float | bool]:
    import tensorflow as tf
    import tf2onnx

    path = job.directory / SERVE_FILE
    function, signature = tf.function(savedmodel.endpoint(job.spec, job.model)), savedmodel.signature(job.spec)
    large = not onnx_file.fits(sum(weight.numpy().nbytes for weight in job.model.weights))
    if large:
        _prepare_for_large_models()
    model, storage = tf2onnx.convert.from_function(
        function, input_signature=signature, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}, large_model=large
    )
    if large:
        _put_in_weights(model, storage.name_to_tensor_data)
    _put_in_constants(model, function.get_concrete_function(*signature))
    onnx_file.save(model, path)
    return {"method": "tf2onnx", **_finish(path, job)}


def _prepare_for_large_models() -> None:
    """tf2onnx measures the weights that it holds back with a function that numpy 2 has no more."""
    import numpy as np

    np.product = np.prod  # type: ignore[attr-defined]


def _erfc(graph: Any, node: Any, _name: str, _arguments: list[str]) -> None:
    """The exact GELU of TensorFlow is made of it, and tf2onnx does not know it: `1 - Erf(x)`."""
    import numpy as np
    from tf2onnx.utils import map_onnx_to_numpy_type

    (dtype,), (shape,) = node.output_dtypes, node.output_shapes
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{node.name}/one", np.ones((), map_onnx_to_numpy_type(dtype)))
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=node.name, outputs=node.output, shapes=[shape], dtypes=[dtype])


def _put_in_weights(model: Any, held_back: dict[str, bytes]) -> None:
    """For a large model tf2onnx keeps the weights apart: each is known by the file that would hold it."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    for tensor in filter(uses_external_data, model.graph.initializer):
        tensor.raw_data = held_back.pop(ExternalDataInfo(tensor).location)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _put_in_constants(model: Any, function: Any) -> None:
    """tf2onnx makes inputs of the tensors that a function has captured, which is where Keras keeps the constants between its layers."""
    import onnx

    values = {inside.name: value.numpy() for value, inside in function.graph.captures if value.dtype.name != "resource"}
    for unwanted in [given for given in model.graph.input if given.name in values]:
        model.graph.input.remove(unwanted)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values[unwanted.name], unwanted.name))


def quantised(job: ExportJob, float32: Path) -> dict[str, str | int | float | bool]:
    path = job.directory / SERVE_FILE
    quantise(float32 / SERVE_FILE, path, job.precision, job.samples)
    return _checked(path)


def _finish(path: Path, job: ExportJob) -> dict[str, str | int | float | bool]:
    if job.precision != "float32":
        quantise(path, path, job.precision, job.samples)
    return _checked(path)


def _checked(path: Path) -> dict[str, str | int | float | bool]:
    import onnx

    onnx.checker.check_model(path, full_check=True)  # by its path: what lies beside it is looked at, too
    model = onnx.load(path, load_external_data=False)
    return {"opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))}


FORMAT = Format(
    sources={
        "pytorch": Source(
            precisions=PRECISIONS,
            requires=("torch", "onnx", "onnxscript", "onnx-ir", "onnxruntime"),
            export=from_pytorch,
            from_float32=quantised,
            lacks=LACKS,
        ),
        "keras": Source(
            precisions=PRECISIONS,
            requires=("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"),
            export=from_keras,
            from_float32=quantised,
            default=False,
            lacks=LACKS,
        ),
    },
    serve_file=SERVE_FILE,
)
