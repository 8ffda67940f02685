"""Takes in a model of the user's own: a child process for each framework opens it, asks it, and keeps its weights and its answers."""

from __future__ import annotations

import shutil
from pathlib import Path

from serveoff import own_kinds, own_models, process, storage
from serveoff.console import Console
from serveoff.contract import GIVEN, Origin
from serveoff.errors import InputError, MissingToolError
from serveoff.host import installed
from serveoff.own_models import OwnModel
from serveoff.registry import FORMATS, RUNTIMES
from serveoff.selection import Selection
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

from . import failure
from .train import DISTRIBUTIONS, ENVIRONMENT, prove_twins

TIMEOUT_S = 1800.0
EXTRAS = {own_kinds.TRANSFORMERS: ("transformers",)}
"""What a kind of model needs besides its framework."""


def take_in_all(selection: Selection, workspace: Workspace, console: Console) -> list[TwinProof]:
    """Take in, anew, the models of the user's own that the selection names."""
    return [take_in(name, workspace, console) for name in own_models.names(workspace) if name in selection.models]


def take_in(name: str, workspace: Workspace, console: Console) -> TwinProof:
    """Take the model in, anew. Raises InputError when it cannot be used, MissingToolError when nothing that opens it is installed."""
    source = own_models.find(workspace, name)
    assert source is not None
    folder = workspace.checkpoint(name)
    for old in (folder / own_models.FINISHED, *folder.glob("taken-*.json")):
        old.unlink(missing_ok=True)
    missing = {origin: lacking for origin in source.origins if (lacking := _lacking(source, origin))}
    origins = [origin for origin in source.origins if origin not in missing]
    if not origins:
        needed = " ".join(missing.values())
        raise MissingToolError(f"{source.path} needs {needed}, which is not installed", hint=f"`pip install {needed}`, or `make setup`")
    for origin in origins:
        shutil.rmtree(folder / f"reference-{origin}", ignore_errors=True)
        _run_worker(source, origin, origins[0], workspace, console)
    proof = _proof(source, origins, missing, workspace)
    storage.write(folder / own_models.FINISHED, proof)
    for note in own_models.taken(folder, origins[0]).notes:
        console.say(f"{name}: {note}")
    return proof


def _lacking(source: OwnModel, origin: Origin) -> str:
    """The distribution that is not installed here, and that this model needs; empty where there is none."""
    if origin == GIVEN:
        serve_file = FORMATS.load(source.kind).serve_file
        needed = next(r.requires for r in RUNTIMES.all().values() if r.serve_file == serve_file)
    else:
        needed = (DISTRIBUTIONS[origin], *EXTRAS.get(source.kind, ()))
    return next((name for name in needed if not installed(name)), "")


def _proof(source: OwnModel, origins: list[Origin], missing: dict[Origin, str], workspace: Workspace) -> TwinProof:
    """Whether both frameworks compute the same, or why that was not proved."""
    folder = workspace.checkpoint(source.name)
    first, last = (own_models.taken(folder, origin) for origin in (origins[0], origins[-1]))
    parity = None
    if origins == [GIVEN]:
        unproved = "served as given; nothing to compare with but itself"
    elif len(origins) == 1:
        unproved = _alone(source, origins[0], missing)
    elif last.unlike:
        unproved = f"not proved equal, each framework keeps its own weights: {last.unlike}"
    else:
        unproved = ""
        parity = prove_twins(folder, [origin for origin in origins if origin != GIVEN])
    return TwinProof(model=source.name, weights_from=origins[0], weights_sha256=first.weights_sha256, parity=parity, unproved=unproved)


def _alone(source: OwnModel, origin: Origin, missing: dict[Origin, str]) -> str:
    """Why nothing stands beside the one framework."""
    other: Origin = "keras" if origin == "pytorch" else "pytorch"
    lacking = f"has no {own_kinds.BUILDERS[other]}()" if source.kind == own_kinds.PYTHON else f"is a {origin} model"
    why = f"{missing[other]} is not installed" if other in missing else f"{Path(source.path).name} {lacking}"
    return f"{why}: {other}, and what is exported from it, is not compared"


def _run_worker(source: OwnModel, origin: Origin, first: Origin, workspace: Workspace, console: Console) -> None:
    folder = workspace.checkpoint(source.name)
    log = folder / f"taken-{origin}.log"
    failures: list[failure.Failure] = []

    def on_line(line: str) -> None:
        failures.extend(filter(None, [failure.told(line)]))

    after = () if origin == first else ("--first", first)
    with console.bar(f"{source.name}: {origin}", 1) as bar:
        result = process.run_child(
            process.python("models.own.worker", "--checkpoint", str(folder), "--origin", origin, *after),
            env=process.environment(workspace.root, ENVIRONMENT),
            log=log,
            timeout_s=TIMEOUT_S,
            on_line=on_line,
        )
        bar.advance_to(1, "taken in" if result.ok else "failed")
    if failures:
        raise failure.error(failures[-1], log)
    if not result.ok:
        why = f"took longer than {TIMEOUT_S:.0f} s" if result.timed_out else f"ended with exit code {result.exit_code}"
        raise InputError(f"taking in {source.path} {why}:\n{result.tail}", hint=f"the whole log is {log}")
