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

from serveoff import artifacts
from serveoff.errors import InputError
from serveoff.registry import CODE_ROOT

SAMPLES = "samples"
_OURS = tuple(CODE_ROOT / stage for stage in ("serveoff", "models", "export", "serving", "loadtests", "report"))
_read: set[Path] = set()
"""The files that were opened while the user's code ran."""
_at_work = False


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


def beside(path: Path) -> dict[str, str]:
    """sha256 of what the file has imported and opened below its own directory, by relative path. What C code opens is not seen."""
    imported = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    found = {each for each in imported | _read if each.is_relative_to(path.parent) and each != path and _is_his(each)}
    return {str(each.relative_to(path.parent)): artifacts.digest(each) for each in sorted(found)}


def _is_his(path: Path) -> bool:
    installed = path.is_relative_to(sys.prefix) or {"site-packages", "__pycache__"} & set(path.parts)
    return path.is_file() and not installed and not any(path.is_relative_to(folder) for folder in _OURS)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _at_work and event == "open" and isinstance(arguments[0], str | Path) and str(arguments[1]) in ("r", "rb"):
        _read.add(Path(arguments[0]).absolute())


@cache
def _module(path: Path) -> ModuleType:
    sys.addaudithook(_note)
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
    global _at_work  # noqa: PLW0603 - the hook is the process's, too
    try:
        _at_work = True
        with contextlib.chdir(path.parent):
            yield
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(path)), None)
        where = f", line {line}" if line else ""
        raise InputError(f"{what} of {path}{where} raised {type(error).__name__}: {error}") from error
    finally:
        _at_work = False
