"""What went into an export, so that the next call makes only what would come out differently.

The worker records the code that it loaded and the checkpoint's files, by content, and the tools' versions: `made_from.json`.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from serveoff import artifacts, own_models, storage
from serveoff.contract import Struct
from serveoff.environment import Environment
from serveoff.errors import InputError
from serveoff.host import facts, installed
from serveoff.plugins import Source
from serveoff.registry import CODE_ROOT, module_name

FILE = "made_from.json"

_BUILDERS = {"transformers"}
"""What a model of the user's own may be built by."""
_OURS = {module_name(stage).partition(".")[0] for stage in ("serveoff", "models", "export", "serving")}


class MadeFrom(Struct, frozen=True, kw_only=True):
    """What one export was made from: sha256 by path (of our code, of the checkpoint), versions by distribution."""

    schema: int = 1
    code: dict[str, str]
    checkpoint: dict[str, str]
    python: str
    packages: dict[str, str | None]
    programs: dict[str, str] = msgspec.field(default_factory=dict)
    """What each program that was needed says of its version."""
    processor: str = ""
    """Where one of them compiled for it."""
    environments: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """What is installed in the converter's own environment, by its name."""


def record(directory: Path, checkpoint: Path, framework: str, source: Source, float32: Path | None = None) -> None:
    """Write down what this process has loaded of ours, and what it was given; what went into the artifact that it began with, too."""
    before = storage.read(float32 / FILE, MadeFrom).code if float32 else {}
    files = {getattr(module, "__file__", None) for name, module in sys.modules.items() if name.partition(".")[0] in _OURS}
    loaded = sorted(Path(file) for file in files if file)
    made_from = MadeFrom(
        code=before | {str(path.relative_to(CODE_ROOT)): artifacts.digest(path) for path in loaded if path.is_relative_to(CODE_ROOT)},
        checkpoint={str(path.relative_to(checkpoint)): artifacts.digest(path) for path in _given(checkpoint, framework)},
        python=platform.python_version(),
        packages={name: installed(name) for name in sorted({*source.requires, "numpy", *(_BUILDERS & sys.modules.keys())})},
        programs={name: _version(name) for name in source.programs},
        processor=facts().cpu_model if source.programs else "",
        environments={source.environment.name: source.environment.versions()} if source.environment else {},
    )
    storage.write(directory / FILE, made_from)


def change(directory: Path, checkpoint: Path, framework: str) -> str:
    """Why the artifact in `directory` has to be made (again), in words; empty when it would come out the same, and is whole."""
    try:
        made_from = storage.read(directory / FILE, MadeFrom)
        artifacts.verify(artifacts.read(directory))
    except InputError as error:
        return error.message
    for root, known in ((CODE_ROOT, made_from.code), (checkpoint, made_from.checkpoint)):
        for path, digest in known.items():
            if not (root / path).is_file() or artifacts.digest(root / path) != digest:
                return f"{path} has changed"
    if {str(path.relative_to(checkpoint)) for path in _given(checkpoint, framework)} != made_from.checkpoint.keys():
        return "the checkpoint has other files"
    for name, then, now in _tools(made_from):
        if now != then:
            return f"{name} was {then}, and is {now}"
    return ""


def _tools(made_from: MadeFrom) -> Iterator[tuple[str, str | None, str | None]]:
    """Each tool, its version then, and its version now."""
    yield "Python", made_from.python, platform.python_version()
    if made_from.processor:
        yield "the processor", made_from.processor, facts().cpu_model
    for name, version in made_from.packages.items():
        yield name, version, installed(name)
    for name, said in made_from.programs.items():
        yield name, repr(said), repr(_version(name))
    for environment, versions in made_from.environments.items():
        there = Environment(environment).versions()
        for name in sorted({*versions, *there}):
            yield f"{environment}'s {name}", versions.get(name), there.get(name)


def _version(program: str) -> str:
    """The first line of what `--version` prints; empty where it is not there."""
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]


def _given(checkpoint: Path, framework: str) -> list[Path]:
    """The weights (of a model of the user's own, what says which they are), whether they were drawn, and the source model's answers."""
    own = [checkpoint / own_models.FILE, checkpoint / f"taken-{framework}.json"]
    return [
        *(own if own[0].exists() else [checkpoint / "weights.safetensors"]),
        checkpoint / own_models.FINISHED,
        *sorted((checkpoint / f"reference-{framework}").glob("*.npz")),
    ]
