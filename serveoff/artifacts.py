"""The artifacts of a workspace. Only a directory with a manifest is one; a manifest is written last."""

from __future__ import annotations

import hashlib
from pathlib import Path

from serveoff import storage
from serveoff.contract import FileRecord, Manifest
from serveoff.errors import InputError
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serveoff.workspace import Workspace

MANIFEST = "manifest.json"


def find(workspace: Workspace, selection: Selection) -> list[Artifact]:
    """The artifacts that passed their gate and pass the filters, in order of their ids."""
    found = []
    for path in sorted(workspace.artifacts.glob(f"*/{MANIFEST}")):
        if path.parent.name.startswith("."):  # not finished, or being replaced
            continue
        artifact = read(path.parent)
        if path.parent.name != artifact.manifest.id:
            continue  # a copy under another name is not what its manifest says
        if artifact.manifest.parity.passed and selection.wants(artifact.manifest):
            found.append(artifact)
    return found


def read(directory: Path) -> Artifact:
    return Artifact(directory=directory, manifest=storage.read(directory / MANIFEST, Manifest))


def records(directory: Path, below: str) -> tuple[FileRecord, ...]:
    """One record for each file under `directory/below`, in order of their paths."""
    return tuple(record(directory, path) for path in sorted((directory / below).rglob("*")) if path.is_file())


def record(directory: Path, path: Path) -> FileRecord:
    return FileRecord(path=str(path.relative_to(directory)), size_bytes=path.stat().st_size, sha256=digest(path))


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(artifact: Artifact) -> None:
    """Raises InputError when a file is missing, is not the one that was verified at export, or was added since: a server takes it all."""
    for known in artifact.manifest.files:
        path = artifact.directory / known.path
        if not path.is_file():
            raise InputError(f"{path} is missing from the artifact", hint="export it again: `serveoff export`")
        if digest(path) != known.sha256:
            raise InputError(f"{path} has changed since it was exported and verified", hint="export it again: `serveoff export`")
    listed = {artifact.directory / known.path for known in artifact.manifest.files}
    folders = {folder for path in listed for folder in path.parents}
    for path in sorted(artifact.serve_dir.rglob("*")):
        empty_inside = path.is_dir() and not path.is_symlink() and path.parent != artifact.serve_dir  # a SavedModel has an empty assets/
        if path not in listed | folders and not empty_inside:
            raise InputError(
                f"{path} was not there when the artifact was verified", hint="delete it, or export it again: `serveoff export`"
            )
