"""AOTInductor package from PyTorch, in a `.pt2` as well: code compiled for processors like this machine's. Takes a compiler and a while."""

from __future__ import annotations

from serveoff.plugins import ExportJob, Format, Source

from . import pt2
from .torchscript import LACKS, PRECISIONS, signature


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import torch

    configs = {
        "aot_inductor.metadata": {"signature.json": signature(job)},
        "cpp.dynamic_threads": True,  # else the number of threads at export would be compiled in
    }
    path = job.directory / pt2.SERVE_FILE
    torch._inductor.aoti_compile_and_package(pt2.program(job), package_path=str(path), inductor_configs=configs)
    return {"method": "aotinductor", "processor": torch.backends.cpu.get_cpu_capability()}


FORMAT = Format(
    sources={"pytorch": Source(precisions=PRECISIONS, requires=("torch",), programs=("g++",), export=export, default=False, lacks=LACKS)},
    serve_file=pt2.SERVE_FILE,
)
