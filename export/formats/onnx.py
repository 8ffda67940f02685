"""ONNX in one file: from PyTorch by the dynamo exporter, from Keras by tf2onnx; int8 from either by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

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
    function = tf.function(savedmodel.endpoint(job.spec, job.model))
    tf2onnx.convert.from_function(function, input_signature=savedmodel.signature(job.spec), opset=OPSET, output_path=str(path))
    return {"method": "tf2onnx", **_finish(path, job)}


def _finish(path: Path, job: ExportJob) -> dict[str, str | int | float | bool]:
    import onnx

    if job.precision != "float32":
        quantise(path, job.precision, job.samples)
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    return {"opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))}


FORMAT = Format(
    sources={
        "pytorch": Source(precisions=PRECISIONS, requires=("torch", "onnx", "onnxscript", "onnxruntime"), export=from_pytorch),
        "keras": Source(precisions=PRECISIONS, requires=("tensorflow", "tf2onnx", "onnx", "onnxruntime"), export=from_keras, default=False),
    },
    serve_file=SERVE_FILE,
)
