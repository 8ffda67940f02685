"""Writes a TorchServe model archive (`.mar`): a zip with `MAR-INF/MANIFEST.json`, the model's files, our handler and the tensor names.

The archiver of TorchServe is a package of its own and adds time stamps; the format is simple, and the same artifact gives the same bytes.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

from serveoff import artifacts, storage
from serveoff.errors import InputError, ServeoffError
from serveoff.plugins import Artifact

_HANDLER = Path(__file__).with_name("torchserve_handler.py")
_SPEC = "serveoff.json"  # the handler reads it under this name
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold


def write(artifact: Artifact, path: Path) -> None:
    """Write the archive of `artifact` to `path`. Raises InputError for tensors that TorchServe's protocols here cannot carry."""
    manifest = artifact.manifest
    for tensor in (*manifest.inputs, *manifest.outputs):
        if tensor.dtype == "string":
            raise InputError(f"{manifest.id}: {tensor.name} is a text tensor, which our TorchServe handler does not take")
    spec = {
        "inputs": [{"name": t.name, "dtype": t.dtype, "shape": t.shape} for t in manifest.inputs],
        "outputs": [t.name for t in manifest.outputs],
        "fixed_batch": manifest.fixed_batch,
    }
    about = {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "archiverVersion": "0.12.0",
        "model": {
            "modelName": manifest.served_name,
            "serializedFile": manifest.serve_file,
            "handler": _HANDLER.name,
            "modelVersion": f"{manifest.version}.0",
        },
    }
    entries: dict[str, bytes | Path] = {"MAR-INF/MANIFEST.json": _json(about), _SPEC: _json(spec), _HANDLER.name: _HANDLER.read_bytes()}
    entries |= {f.relative_to(artifact.version_dir).as_posix(): f for f in artifact.version_dir.rglob("*") if f.is_file()}
    with storage.written(path) as whole, zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:  # weights do not compress
        for name, entry in sorted(entries.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.file_size = entry.stat().st_size if isinstance(entry, Path) else len(entry)
            with entry.open("rb") if isinstance(entry, Path) else io.BytesIO(entry) as source, archive.open(info, "w") as place:
                shutil.copyfileobj(source, place)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def main() -> None:
    """`python -P -m serveoff.child serving.torchserve_archive ARTIFACT_DIRECTORY ARCHIVE`: in an init container, say."""
    directory, archive = map(Path, sys.argv[1:])
    try:
        artifact = artifacts.read(directory)
        artifacts.verify(artifact)
        write(artifact, archive)
    except ServeoffError as error:
        sys.exit(f"error: {error}")
