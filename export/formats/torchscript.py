"""TorchScript from PyTorch, by tracing. The signature travels inside the file: TorchScript itself has no names for its tensors."""

from __future__ import annotations

from typing import Any

import msgspec

from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import BFLOAT16, FLOAT32

SERVE_FILE = "model.pt"
PRECISIONS = {"float32": FLOAT32, "bfloat16": BFLOAT16}
"""Of the three formats of PyTorch's own."""


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    with torch.inference_mode():
        traced = torch.jit.trace(model(job), example(job))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(job.directory / SERVE_FILE), _extra_files={"signature.json": signature(job)})
    return {"method": "trace"}


def model(job: ExportJob) -> Any:
    """The job's model in the job's precision."""
    if job.precision == "float32":
        return job.model
    from ..bfloat16 import InBfloat16

    return InBfloat16(job.model, job.spec.outputs)


def example(job: ExportJob) -> tuple[Any, ...]:
    """Two rows of each input: an example batch of 1 would be fixed."""
    import torch

    return tuple(torch.from_numpy(job.samples[t.name][:2]) for t in job.spec.inputs)


def signature(job: ExportJob) -> str:
    """The tensors' names, types and shapes, as the runtimes of PyTorch's files read them."""
    return msgspec.json.encode({"inputs": job.spec.inputs, "outputs": job.spec.outputs}).decode()


FORMAT = Format(
    sources={"pytorch": Source(precisions=PRECISIONS, requires=("torch",), export=export)},
    serve_file=SERVE_FILE,
)
