"""Finds the runtime for a version folder and loads it."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff.registry import RUNTIMES

from .servable import Servable
from .status import ServingError, from_exception, not_found

if TYPE_CHECKING:
    from serveoff.plugins import Runtime


@functools.cache
def _runtimes() -> dict[str, Runtime]:
    return RUNTIMES.all()


def runtime_for(directory: Path, *, prefer_tflite: bool) -> str:
    """The name of the runtime whose file is in `directory`. Raises ServingError (NOT_FOUND) when there is none.

    As in TF Serving a SavedModel wins over a `model.tflite` beside it unless `prefer_tflite` is set.
    """
    present = {name for name, runtime in _runtimes().items() if (directory / runtime.serve_file).exists()}
    first, second = ("litert", "savedmodel") if prefer_tflite else ("savedmodel", "litert")
    for name in (first, second, *sorted(present)):
        if name in present:
            return name
    files = ", ".join(sorted(runtime.serve_file for runtime in _runtimes().values()))
    raise not_found(f"Could not find a model at the supplied path: {directory}. Looked for: {files}")


def load(name: str, version: int, directory: Path, *, threads: int, prefer_tflite: bool, pool: ThreadPoolExecutor) -> Servable:
    """Load one version. Raises ServingError."""
    runtime = runtime_for(directory, prefer_tflite=prefer_tflite)
    try:
        model = _runtimes()[runtime].load(directory, threads)
    except ServingError:
        raise
    except Exception as error:
        raise from_exception(error) from error
    return Servable(name, version, model, runtime, pool)
