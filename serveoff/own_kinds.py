"""What a path to a model of the user's own holds. Only looked at, never loaded: no framework, no unpickling, no code of the user's."""

from __future__ import annotations

import ast
import zipfile
from pathlib import Path

from serveoff.contract import GIVEN, Origin
from serveoff.errors import InputError
from serveoff.registry import FORMATS

PYTHON = "python"
KERAS = "keras"
PICKLE = "pickle"
TRANSFORMERS = "transformers"
"""A Hugging Face model directory."""
BUILT = (PYTHON, KERAS, PICKLE, TRANSFORMERS)
"""What a framework makes a model of; anything else is served as given."""

BUILDERS: dict[Origin, str] = {"keras": "build_keras", "pytorch": "build_pytorch"}
"""The functions of a model file. Keras comes first: it tells what its model takes."""

_SAVED_MODEL = "saved_model.pb"
_KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_TORCH_SUFFIXES = (".pt", ".pth")
_CONFIG = "config.json"
_SAFE, _PICKLED = ("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")
_PICKLE = b"\x80"


def recognise(path: Path, *, allow_pickle: bool) -> tuple[str, tuple[Origin, ...]]:
    """The kind and the origins. Raises InputError for what we do not know, and for a pickle that was not allowed."""
    if path.is_dir():
        return _directory(path, allow_pickle=allow_pickle)
    suffix = path.suffix
    if suffix == ".py":
        return PYTHON, _builders(path)
    if suffix in _KERAS_SUFFIXES:
        return KERAS, ("keras",)
    if suffix in _TORCH_SUFFIXES:
        return _torch_file(path, allow_pickle=allow_pickle)
    if suffix in _served():
        return _served()[suffix], (GIVEN,)
    if path.name == _SAVED_MODEL:
        raise InputError(f"{path} is a part of a SavedModel", hint=f"name its directory: --model {path.parent}")
    raise InputError(f"{path} is a file of an unknown kind", hint=_known())


def _directory(path: Path, *, allow_pickle: bool) -> tuple[str, tuple[Origin, ...]]:
    if (path / _CONFIG).exists():
        return _model_directory(path, allow_pickle=allow_pickle)
    if (path / _SAVED_MODEL).exists():
        return next(name for name, kind in FORMATS.all().items() if kind.serve_file == _SAVED_MODEL), (GIVEN,)
    versions = sorted((p.parent for p in path.glob(f"*/{_SAVED_MODEL}")), key=lambda p: p.name)
    hint = f"name one of its versions: --model {versions[-1]}" if versions else _known()
    raise InputError(f"{path} is a directory of an unknown kind", hint=hint)


def _model_directory(path: Path, *, allow_pickle: bool) -> tuple[str, tuple[Origin, ...]]:
    """A Hugging Face model directory. Its weights are safetensors, or a pickle that was allowed."""
    if any((path / name).exists() for name in _SAFE):
        return TRANSFORMERS, ("pytorch",)
    pickled = next((path / name for name in _PICKLED if (path / name).exists()), None)
    if pickled is None:
        raise InputError(f"{path} has a {_CONFIG}, and no {_SAFE[0]} beside it", hint="save it with save_pretrained(), weights and all")
    if not allow_pickle:
        raise InputError(
            f"{pickled} is a pickle, and loading a pickle runs whatever code is in it",
            hint=f"save the model again, as {_SAFE[0]}; or, if you trust it, say --allow-pickle",
        )
    return TRANSFORMERS, ("pytorch",)


def _torch_file(path: Path, *, allow_pickle: bool) -> tuple[str, tuple[Origin, ...]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
        if any("/code/" in name for name in inside):  # TorchScript: its modules are source text, and no pickle of classes
            return _served()[".pt"], (GIVEN,)
        pickled = any(name.endswith("data.pkl") for name in inside)
    else:
        with path.open("rb") as file:
            pickled = file.read(1) == _PICKLE
    if not pickled:
        raise InputError(f"{path} is neither TorchScript nor a PyTorch checkpoint", hint="look at how it was saved")
    if not allow_pickle:
        raise InputError(
            f"{path} is a pickle, and loading a pickle runs whatever code is in it",
            hint="name a .py file that builds the model, or a TorchScript file; or, if you trust it, say --allow-pickle",
        )
    return PICKLE, ("pytorch",)


def _builders(path: Path) -> tuple[Origin, ...]:
    """The frameworks that a model file has a function for, read from its source text."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} is not valid Python: {error}") from None
    bound: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            bound |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    found = tuple(origin for origin, name in BUILDERS.items() if name in bound)
    if not found:
        raise InputError(
            f"{path} has neither build_pytorch() nor build_keras()", hint="write one, or both: it returns the model with its weights in it"
        )
    return found


def _served() -> dict[str, str]:
    """Suffix -> the format of a file that is served as it is. Where several formats write one kind of file, the one that is called so."""
    found: dict[str, str] = {}
    for name, kind in FORMATS.all().items():
        suffix = Path(kind.serve_file).suffix
        if kind.serve_file != _SAVED_MODEL and (suffix not in found or suffix == f".{name}"):
            found[suffix] = name
    return found


def _known() -> str:
    files = ", ".join(sorted({".py", *_KERAS_SUFFIXES, *_served()}))
    return f"known are files that end in {files}, SavedModel directories, and Hugging Face model directories"
