"""Facts about this machine, recorded in every file that holds a number."""

from __future__ import annotations

import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

from serveoff.contract import HostFacts

_PACKAGES = (
    *("ai-edge-litert", "onnxruntime", "tensorflow", "keras", "torch", "numpy"),
    *("onnx", "onnxscript", "torchserve", "uvicorn", "grpcio", "locust"),
)


@cache
def facts() -> HostFacts:
    """What this machine is, and the versions of what computes here."""
    return HostFacts(
        cpu_model=_cpu_model(),
        logical_cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=platform.platform(),
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := installed(name))},
    )


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, found without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    if sys.platform == "linux":  # psutil does not know the model's name, and platform.processor() is empty on most Linux systems
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
