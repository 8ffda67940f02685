"""Finds the runtime for a version folder and loads it."""

from __future__ import annotations

import functools
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serveoff.registry import RUNTIMES

from . import saved_model_file, text_protos
from .batching import BatchOptions
from .servable import Means, Servable
from .status import failed_precondition, from_exception, not_found

if TYPE_CHECKING:
    from serveoff.plugins import Runtime

SAVED_MODEL_FILE = "saved_model.pb"
_EXCLUSIVE = ("tensorflow", "torch")
BATCHING_FILE = "batching_params.pbtxt"


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


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How versions are loaded. With `per_model_batching` a version brings its own batching file."""

    threads: int
    prefer_tflite: bool = False
    batching: BatchOptions | None = None
    per_model_batching: bool = False


class _Claim:
    """TensorFlow and PyTorch do not get along in one process: the first that is loaded keeps it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = ""

    def check(self, requires: tuple[str, ...]) -> None:
        """Raises ServingError (FAILED_PRECONDITION) when the process belongs to the other framework."""
        wanted = next((name for name in _EXCLUSIVE if name in requires), "")
        if not wanted:
            return
        with self._lock:
            self._owner = self._owner or next((name for name in _EXCLUSIVE if name in sys.modules), wanted)
            if self._owner != wanted:
                raise failed_precondition(f"this server runs {self._owner} models; {wanted} models need a server process of their own")


_claim = _Claim()


def load(name: str, version: int, directory: Path, options: LoadOptions, means: Means) -> Servable:
    """Load one version. Raises ServingError."""
    runtime = runtime_for(directory, prefer_tflite=options.prefer_tflite)
    _claim.check(_runtimes()[runtime].requires)
    batching = options.batching
    if options.per_model_batching and (directory / BATCHING_FILE).is_file():
        batching = BatchOptions.from_proto(text_protos.read("BatchingParameters", str(directory / BATCHING_FILE)), options.threads)
    try:
        model = _runtimes()[runtime].load(directory, options.threads)
    except Exception as error:
        raise from_exception(error) from error
    definitions = saved_model_file.signature_defs(directory / SAVED_MODEL_FILE) if runtime == "savedmodel" else {}
    return Servable(name, version, model, runtime, means, batching, definitions)
