"""Models of the user's own, by path: what a path is, what it is called here, and what was said about it.

`checkpoints/NAME/source.json` remembers them, so that every later command takes the name alone.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import artifacts, own_kinds, storage
from serveoff.contract import Origin, Struct, TensorSpec
from serveoff.errors import InputError, UsageError
from serveoff.registry import MODELS, suggestion
from serveoff.workspace import Workspace

FILE = "source.json"
FINISHED = "twin.json"
"""Written last: a checkpoint without it is not finished."""


class OwnModel(Struct, frozen=True, kw_only=True):
    """A model of the user's own. `kind` is one of `own_kinds.BUILT`, or the format of a file that is served as given."""

    schema: int = 1
    name: str
    path: str
    kind: str
    origins: tuple[Origin, ...]
    sha256: str
    inputs: tuple[TensorSpec, ...] = ()
    """As described on the command line; empty where the model tells, or the samples do. The first dimension may be a fixed batch."""
    outputs: tuple[str, ...] = ()
    samples: str = ""
    samples_sha256: str = ""
    signature: str = ""
    allow_pickle: bool = False


class Taken(Struct, frozen=True, kw_only=True):
    """What was found when one origin's model was taken in: `checkpoints/NAME/taken-ORIGIN.json`."""

    schema: int = 1
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed_batch: int | None
    signature: str
    weights_sha256: str
    notes: tuple[str, ...]
    """What was supposed, for the report."""
    beside: dict[str, str] = {}  # noqa: RUF012 - each struct gets its own
    """What a model file imported and opened below its own directory, or where its weights lie: sha256 by relative path."""
    unlike: str = ""
    """Why these weights are not the other framework's; empty where they are, or where there is no other."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the command line says about a model. What is empty is left as it was said before."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    samples: str = ""
    signature: str = ""
    allow_pickle: bool = False


def is_path(value: str) -> bool:
    """Whether a `--model` is a path (or NAME=PATH), and not a name."""
    return any(sign in value for sign in ("=", ".", os.sep)) or (value not in MODELS.names and Path(value).exists())


def declare(value: str, said: Description, workspace: Workspace) -> str:
    """Remember a model of the user's own, given by path or by a name that is known here. Returns its name; a name of the zoo is left alone.

    Raises InputError for a path that is nothing we know, UsageError for a name that is taken, or a description of a model of the zoo.
    """
    if not is_path(value):
        known = find(workspace, value)
        if known is None:
            if said != Description():
                raise UsageError(f"{value} describes itself", hint="--input and its like are for a model of your own: --model PATH")
            return value
        name, path = value, Path(known.path)
        if not path.exists() and said == Description():
            return name  # what was taken in is still there
    else:
        name, path = _name_and_path(value)
        known = find(workspace, name)
        _require_free(name, path, known)
    source = _described(name, path, said, known)
    folder = workspace.checkpoint(name)
    if source != known or _changed_beside(folder, path.parent):
        for old in (FINISHED, *(p.name for p in folder.glob("taken-*.json"))):
            (folder / old).unlink(missing_ok=True)  # it was about another model
        storage.write(folder / FILE, source)
    return name


def name_of(value: str, workspace: Workspace) -> str:
    """The name of a `--model`. Raises InputError for a path that was never exported."""
    if not is_path(value):
        return value
    name, path = _name_and_path(value)
    known = find(workspace, name)
    if known is None or known.path != str(path):
        raise InputError(f"{path} has not been exported yet", hint=f"`serveoff export --model {value}`")
    return name


def find(workspace: Workspace, name: str) -> OwnModel | None:
    path = workspace.checkpoint(name) / FILE
    return storage.read(path, OwnModel) if path.exists() else None


def names(workspace: Workspace) -> list[str]:
    """The models of the user's own that this workspace knows."""
    return sorted(path.parent.name for path in workspace.root.glob(f"checkpoints/*/{FILE}"))


def taken(checkpoint: Path, origin: str) -> Taken:
    return storage.read(checkpoint / taken_file(origin), Taken)


def taken_file(origin: str) -> str:
    return f"taken-{origin}.json"


def tensor(text: str) -> TensorSpec:
    """`name:dtype:None,8,8` as a tensor. Raises UsageError."""
    hint = "write it as name:dtype:shape, for instance --input image:float32:None,8,8,1"
    name, dtype, shape = ["", "", "", *text.rsplit(":", 2)][-3:]
    sizes = [None if size.strip().lower() in ("none", "?", "-1") else size.strip() for size in shape.split(",")]
    try:
        if not name:
            raise UsageError(f"{text!r} does not describe a tensor", hint)
        return msgspec.convert({"name": name, "dtype": dtype, "shape": sizes}, TensorSpec, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{text!r} does not describe a tensor: {error}", hint) from None


def digest(path: Path) -> str:
    """sha256 of a file, or of all the files of a directory with their names."""
    if path.is_file():
        return artifacts.digest(path)
    lines = [f"{file.relative_to(path)} {artifacts.digest(file)}" for file in sorted(path.rglob("*")) if file.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _described(name: str, path: Path, said: Description, known: OwnModel | None) -> OwnModel:
    before = known or Description()
    allow_pickle = said.allow_pickle or before.allow_pickle
    kind, origins = own_kinds.recognise(path, allow_pickle=allow_pickle)
    samples = str(_existing(said.samples)) if said.samples else before.samples
    inputs = said.inputs or before.inputs
    _require_different([t.name for t in inputs], "input")
    outputs = said.outputs or before.outputs
    _require_different(outputs, "output")
    return OwnModel(
        name=name,
        path=str(path),
        kind=kind,
        origins=origins,
        sha256=digest(path),
        inputs=inputs,
        outputs=outputs,
        samples=samples,
        samples_sha256=digest(Path(samples)) if samples else "",
        signature=said.signature or before.signature,
        allow_pickle=allow_pickle,
    )


def _changed_beside(checkpoint: Path, home: Path) -> bool:
    """Whether something that the model file imported or opened is not what it was."""
    known = [item for file in checkpoint.glob(taken_file("*")) for item in storage.read(file, Taken).beside.items()]
    return any(not (home / name).is_file() or artifacts.digest(home / name) != sha256 for name, sha256 in known)


def _name_and_path(value: str) -> tuple[str, Path]:
    given, _, rest = value.rpartition("=")
    path = _existing(rest)
    stem = path.name if path.is_dir() else path.stem
    if stem.isdigit():  # the version folder of a model server
        stem = path.parent.name
    if given and not re.fullmatch(r"\w+", given, re.ASCII):
        raise UsageError(
            f"{given!r} cannot be a model's name", hint="letters, digits and _ only, for instance --model mine=path/to/model.onnx"
        )
    return given or re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_") or "model", path


def _existing(value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if path.exists():
        return path
    beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    hint = suggestion(path.name, beside) if beside else "look at the path"
    raise InputError(f"there is no {value}", hint=hint if hint.startswith("did you mean") else "look at the path")


def _require_free(name: str, path: Path, known: OwnModel | None) -> None:
    hint = f"give this one another name: --model another_name={path}"
    if name in MODELS.names:
        raise UsageError(f"{name} is a model of serveoff's own", hint)
    if known is not None and known.path != str(path):
        raise UsageError(f"{name} is {known.path} in this workspace", hint)


def _require_different(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"there are several {what}s called {name!r}", hint="give each a name of its own")
