"""PT2 from PyTorch: a `torch.export` archive. The signature travels inside the file: an exported program has no names for its outputs."""

from __future__ import annotations

from typing import Any

from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import FLOAT32
from .torchscript import example, signature

SERVE_FILE = "model.pt2"


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    torch.export.save(program(job), job.directory / SERVE_FILE, extra_files={"signature.json": signature(job)})
    return {"method": "torch.export"}


def program(job: ExportJob) -> Any:
    """The model as an exported program, batch dynamic."""
    import torch

    batch = torch.export.Dim("batch")
    return torch.export.export(job.model, example(job), dynamic_shapes=tuple({0: batch} for _ in job.spec.inputs))


FORMAT = Format(
    sources={"pytorch": Source(precisions={"float32": FLOAT32}, requires=("torch",), export=export, default=False)},
    serve_file=SERVE_FILE,
)
