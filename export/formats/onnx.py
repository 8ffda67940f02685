"""ONNX from PyTorch, by the dynamo exporter, in one file."""

from __future__ import annotations

from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import FLOAT32

SERVE_FILE = "model.onnx"


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import onnx
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
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    return {"method": "dynamo", "opset": next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))}


FORMAT = Format(
    sources={"pytorch": Source(precisions={"float32": FLOAT32}, requires=("torch", "onnx", "onnxscript", "onnxruntime"), export=export)},
    serve_file=SERVE_FILE,
)
