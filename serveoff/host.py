"""Facts about this machine, recorded in every file that holds a number."""

from __future__ import annotations

import math
import os
import platform
import shutil
import sys
from collections.abc import Iterable
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
        logical_cores=cores(),
        memory_bytes=psutil.virtual_memory().total,
        system=platform.platform(),
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := installed(name))},
    )


def cores(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The logical cores that we may use: those of our affinity, and no more than a container's quota pays for."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count() or 1
    return max(1, min(usable, math.ceil(_quota(cgroups))))


def _quota(cgroups: Path) -> float:
    """The least `cpu.max` (cgroup v2) from our own group up to the root, in cores; `sys.maxsize` where there is none."""
    least, own = float(sys.maxsize), cgroups / _own_group()
    for group in (own, *own.parents):
        try:
            quota, _, period = (group / "cpu.max").read_text().partition(" ")
        except OSError:
            continue
        if quota != "max":
            least = min(least, int(quota) / int(period))
    return least


def _own_group() -> str:
    try:
        return Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip("/\n")
    except OSError:  # no Linux
        return ""


def installed(distribution: str) -> str | None:
    """The installed version of a distribution, found without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def missing(distributions: Iterable[str], programs: Iterable[str] = ()) -> str:
    """What of these is not here, in words; empty when all is."""
    packages = ", ".join(name for name in distributions if installed(name) is None)
    tools = ", ".join(name for name in programs if shutil.which(name) is None)
    return "; ".join(words for words in (packages and f"not installed: {packages}", tools and f"not on PATH: {tools}") if words)


def _cpu_model() -> str:
    if sys.platform == "linux":  # psutil does not know the model's name, and platform.processor() is empty on most Linux systems
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
