"""ONNX in one file: from PyTorch by the dynamo exporter, from Keras by tf2onnx; int8 from either by ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from serveoff.plugins import ExportJob, Format, Source

from ..quantisation import quantise
from ..tolerances import FLOAT32, INT8
from . import savedmodel

SERVE_FILE = "model.onnx"
OPSET = 18
"""The newest that tf2onnx knows."""

PRECISIONS = {"float32": FLOAT32, "int8": INT8, "int8_dynamic": INT8}


def from_pytorch(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    path = job.directory / SERVE_FILE
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        job.model,
        tuple(torch.from_numpy(job.samples[t.name][:2]) for t in job.spec.inputs),  # an example batch of 1 would be fixed
        str(path),
        dynamo=True,
        external_data=False,  # one file, so that a .mar can hold it
        input_names=[t.name for t in job.spec.inputs],
        output_names=[t.name for t in job.spec.outputs],
        dynamic_shapes=tuple({0: batch} for _ in job.spec.inputs),
    )
    return {"method": "dynamo", **_finish(path, job)}


def from_keras(job: ExportJob) -> dict[str, str | int | float | bool]:
    import tensorflow as tf
    import tf2onnx

    path = job.directory / SERVE_FILE
    function, signature = tf.function(savedmodel.endpoint(job.spec, job.model)), savedmodel.signature(job.spec)
    tf2onnx.convert.from_function(
        function, input_signature=signature, opset=OPSET, custom_op_handlers={"Erfc": (_erfc, [])}, output_path=str(path)
    )
    _put_back_constants(path, function.get_concrete_function(*signature))
    return {"method": "tf2onnx", **_finish(path, job)}


def _erfc(graph: Any, node: Any, _name: str, _arguments: list[str]) -> None:
    """The exact GELU of TensorFlow is made of it, and tf2onnx does not know it: `1 - Erf(x)`."""
    import numpy as np
    from tf2onnx.utils import map_onnx_to_numpy_type

    (dtype,), (shape,) = node.output_dtypes, node.output_shapes
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
    one = graph.make_const(f"{node.name}/one", np.ones((), map_onnx_to_numpy_type(dtype)))
    graph.make_node("Sub", [one.output[0], erf.output[0]], name=node.name, outputs=node.output, shapes=[shape], dtypes=[dtype])


def _put_back_constants(path: Path, function: Any) -> None:
    """tf2onnx makes inputs of the tensors that a function has captured, which is where Keras keeps the constants between its layers."""
    import onnx

    values = {inside.name: value.numpy() for value, inside in function.graph.captures if value.dtype.name != "resource"}
    model = onnx.load(str(path))
    for unwanted in [given for given in model.graph.input if given.name in values]:
        model.graph.input.remove(unwanted)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values[unwanted.name], unwanted.name))
    onnx.save(model, str(path))


def quantised(job: ExportJob, float32: Path) -> dict[str, str | int | float | bool]:
    path = job.directory / SERVE_FILE
    shutil.copyfile(float32 / SERVE_FILE, path)
    return _finish(path, job)


def _finish(path: Path, job: ExportJob) -> dict[str, str | int | float | bool]:
    import onnx

    if job.precision != "float32":
        quantise(path, job.precision, job.samples)
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    return {"opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))}


FORMAT = Format(
    sources={
        "pytorch": Source(
            precisions=PRECISIONS,
            requires=("torch", "onnx", "onnxscript", "onnxruntime"),
            export=from_pytorch,
            from_float32=quantised,
        ),
        "keras": Source(
            precisions=PRECISIONS,
            requires=("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
            export=from_keras,
            from_float32=quantised,
            default=False,
        ),
    },
    serve_file=SERVE_FILE,
)
