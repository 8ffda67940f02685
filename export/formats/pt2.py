"""PT2 from PyTorch: a `torch.export` archive. The signature travels inside the file: an exported program has no names for its outputs."""

from __future__ import annotations

from typing import Any

from serveoff.plugins import ExportJob, Format, Source

from .torchscript import LACKS, PRECISIONS, example, model, signature

SERVE_FILE = "model.pt2"


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    torch.export.save(program(job), job.directory / SERVE_FILE, extra_files={"signature.json": signature(job)})
    return {"method": "torch.export"}


def program(job: ExportJob) -> Any:
    """The model as an exported program, batch dynamic."""
    import torch

    module, batch = model(job), torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in job.spec.inputs)
    wrapped = module is not job.model  # its tensors are one argument, `*tensors`
    return torch.export.export(module, example(job), dynamic_shapes=(shapes,) if wrapped else shapes)


FORMAT = Format(
    sources={"pytorch": Source(precisions=PRECISIONS, requires=("torch",), export=export, default=False, lacks=LACKS)},
    serve_file=SERVE_FILE,
)
