"""TFLite from PyTorch by litert-torch, which runs in an environment of its own: it wants other versions than ours of what both need."""

from __future__ import annotations

import functools
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff import process
from serveoff.contract import SIGNATURE
from serveoff.environment import Environment
from serveoff.errors import ServeoffError

from .. import litert_torch_child
from ..tolerances import FLOAT16, FLOAT32, INT8

if TYPE_CHECKING:
    from serveoff.plugins import ExportJob

ENVIRONMENT = Environment("litert-torch")
PRECISIONS = {"float32": FLOAT32, "float16": FLOAT16, "int8_dynamic": INT8}
NO_INT8 = "litert-torch takes moving averages for ranges, which cut off what is rare: MobileNetV2 and GNMT do not pass the gate with it"
"""And embeddings would stay float32."""
BATCH = 1
"""litert-torch makes files of one batch size: a dynamic one fails in the converter."""


def write(job: ExportJob, path: Path) -> dict[str, str | int | float | bool]:
    """Convert the job's model, for batches of `BATCH`, and say by what."""
    import torch

    with tempfile.TemporaryDirectory(dir=path.parent) as name:  # of an export that is killed nothing is left in /tmp
        program = Path(name) / "program.pt2"
        torch.export.save(_program(job), program)
        convert(program, job.precision, path)
    return {"method": "litert-torch", "litert_torch": ENVIRONMENT.versions()[ENVIRONMENT.name], "signature": SIGNATURE}


def convert(source: Path, precision: str, out: Path) -> None:
    """Make `out` of a program (.pt2), or of its float32 file (.tflite), which takes a tenth of the time.

    What the converter prints stands in the export's log. Raises ServeoffError with its last words, MissingToolError where it is not there.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        done = process.run_child(
            (ENVIRONMENT.python(), "-I", "-u", litert_torch_child.__file__, str(source), precision, str(out)),
            env=os.environ,
            log=Path(folder) / "converter.log",
            timeout_s=math.inf,  # the export's own limit counts
            on_line=functools.partial(print, file=sys.stderr),
        )
    if not done.ok:
        *_, last = done.tail.strip().splitlines() or ["it said nothing"]
        raise ServeoffError(f"litert-torch ended with exit code {done.exit_code}: {last}")


def _program(job: ExportJob) -> Any:
    """The model as an exported program that takes its tensors by name, and returns them so."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = job.model

        def forward(self, **tensors: Any) -> dict[str, Any]:
            results = self.model(*(tensors[t.name] for t in job.spec.inputs))
            listed = results if isinstance(results, list | tuple) else [results]
            return {t.name: value for t, value in zip(job.spec.outputs, listed, strict=True)}

    inputs = {t.name: torch.from_numpy(job.samples[t.name][:BATCH]) for t in job.spec.inputs}
    return torch.export.export(Named().eval(), (), inputs)
