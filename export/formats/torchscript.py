"""TorchScript from PyTorch, by tracing. The signature travels inside the file: TorchScript itself has no names for its tensors."""

from __future__ import annotations

import msgspec

from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import FLOAT32

SERVE_FILE = "model.pt"


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    example = tuple(torch.from_numpy(job.samples[t.name][:2]) for t in job.spec.inputs)
    with torch.inference_mode():
        traced = torch.jit.trace(job.model, example)  # type: ignore[no-untyped-call]
    signature = msgspec.json.encode({"inputs": job.spec.inputs, "outputs": job.spec.outputs})
    torch.jit.save(traced, str(job.directory / SERVE_FILE), _extra_files={"signature.json": signature})
    return {"method": "trace"}


FORMAT = Format(
    sources={"pytorch": Source(precisions={"float32": FLOAT32}, requires=("torch",), export=export)},
    serve_file=SERVE_FILE,
)
