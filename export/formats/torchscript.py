"""TorchScript from PyTorch: by tracing, or by scripting where a trace would be wrong.

The signature travels inside the file: TorchScript itself has no names for its tensors.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec

from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import BFLOAT16, FLOAT32

SERVE_FILE = "model.pt"
PRECISIONS = {"float32": FLOAT32, "bfloat16": BFLOAT16}
"""Of the three formats of PyTorch's own."""
_INT8 = "PyTorch's own quantisation (torch.ao) is deprecated, to be removed; ONNX carries int8 from PyTorch"
LACKS = {
    "float16": "PyTorch emulates float16 on most processors, ten times as slow as float32; bfloat16 is its half precision there",
    "int8": _INT8,
    "int8_dynamic": _INT8,
}


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    module, method = model(job), "trace"
    traced, doubts = _trace(module, job)
    if doubts:
        try:
            traced, method = _script(job), "script"
            _log(f"scripted, not traced: {'; '.join(doubts)}")
        except Exception as error:  # any: what it does not take it says in many ways
            _log(f"traced, although: {'; '.join(doubts)}. torch.jit.script does not take the model: {_first_line(error)}")
    torch.jit.save(traced, str(job.directory / SERVE_FILE), _extra_files={"signature.json": signature(job)})
    return {"method": method}


def model(job: ExportJob) -> Any:
    """The job's model in the job's precision."""
    if job.precision == "float32":
        return job.model
    from ..pytorch_bfloat16 import InBfloat16

    return InBfloat16(job.model, job.spec.outputs)


def example(job: ExportJob) -> tuple[Any, ...]:
    """Two rows of each input: an example batch of 1 would be fixed."""
    import torch

    return tuple(torch.from_numpy(job.samples[t.name][:2]) for t in job.spec.inputs)


def signature(job: ExportJob) -> str:
    """The tensors' names, types and shapes, as the runtimes of PyTorch's files read them."""
    return msgspec.json.encode({"inputs": job.spec.inputs, "outputs": job.spec.outputs}).decode()


def _trace(module: Any, job: ExportJob) -> tuple[Any, list[str]]:
    """The trace, and what PyTorch says of it that makes it wrong for other inputs: control flow that depends on the data, for one."""
    import torch
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings(record=True) as caught, torch.inference_mode():
        warnings.filterwarnings("always", category=TracerWarning)
        TracerWarning.ignore_lib_warnings()  # type: ignore[no-untyped-call]  # PyTorch's own layers check their inputs, which is no doubt
        traced = torch.jit.trace(module, example(job))  # type: ignore[no-untyped-call]
    for one in caught:
        warnings.showwarning(one.message, one.category, one.filename, one.lineno)
    doubts = [one for one in caught if issubclass(one.category, TracerWarning)]
    said = [f"{Path(one.filename).name}, line {one.lineno}: {str(one.message).partition('. ')[0]}" for one in doubts]
    return traced, list(dict.fromkeys(said))  # a second trace, which checks the first, says all of it again


def _script(job: ExportJob) -> Any:
    """The scripted model, after it has answered. The cast to another precision, around it, is traced."""
    import torch

    scripted = torch.jit.script(job.model)
    if job.precision == "float32":
        with torch.inference_mode():
            scripted(*example(job))
        return scripted
    from ..pytorch_bfloat16 import InBfloat16

    return _trace(InBfloat16(scripted, job.spec.outputs), job)[0]


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), repr(error)).strip().rstrip(":")


def _log(sentence: str) -> None:
    sys.stderr.write(f"TorchScript: {sentence}\n")


FORMAT = Format(
    sources={"pytorch": Source(precisions=PRECISIONS, requires=("torch",), export=export, lacks=LACKS)},
    serve_file=SERVE_FILE,
)
