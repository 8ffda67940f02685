"""A model file of the user's own: code that he named himself, run in this child process, in the file's own directory."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from serveoff.errors import InputError

SAMPLES = "samples"


def call(path: Path, function: str) -> Any:
    """What `function()` of the file returns. Raises InputError when the file or the function raises."""
    module = _module(path)
    with _at_home(path, f"{function}()"):
        result = getattr(module, function)()
    if {"torch", "tensorflow"} <= sys.modules.keys():
        raise InputError(
            f"{path.name} imports torch and tensorflow into one process", hint="import each framework inside the function that needs it"
        )
    return result


def has(path: Path, function: str) -> bool:
    return hasattr(_module(path), function)


@cache
def _module(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"own_model_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # a class that is pickled, or a dataclass, looks for its module
    sys.path.insert(1, str(path.parent))  # behind our own code: what lies beside the file may be called as our packages are
    with _at_home(path, "the file"):
        found.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _at_home(path: Path, what: str) -> Any:
    try:
        with contextlib.chdir(path.parent):
            yield
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(path)), None)
        where = f", line {line}" if line else ""
        raise InputError(f"{what} of {path}{where} raised {type(error).__name__}: {error}") from error
