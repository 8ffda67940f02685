"""A file that the user gave is its own export: copied as it is, and compared with its own recorded answers."""

from __future__ import annotations

import shutil

from serveoff.contract import GIVEN, Origin, Tolerance
from serveoff.plugins import ExportJob, Source
from serveoff.registry import FORMATS, RUNTIMES

TOLERANCE = Tolerance(atol=1e-4, rtol=1e-4, source="served as given: one file in one engine or another; as for float32")


def source_of(name: str, origin: Origin) -> Source:
    """How the format `name` comes from this origin; a file that exists already needs what loads it, and not what makes it."""
    kind = FORMATS.load(name)
    if origin != GIVEN:
        return kind.sources[origin]
    requires = next(r.requires for r in RUNTIMES.all().values() if r.serve_file == kind.serve_file)
    return Source(precisions={GIVEN: TOLERANCE}, requires=requires, export=_copy)


def _copy(job: ExportJob) -> dict[str, str | int | float | bool]:
    shutil.copytree(job.model, job.directory, dirs_exist_ok=True)
    return {"method": "as given"}
