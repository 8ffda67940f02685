"""What a stage could not do here, and why: one file a stage, of which each run replaces what it was about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from serveoff import storage
from serveoff.contract import Skip, Skips


def update(path: Path, covered: Callable[[Skip], bool], new: Iterable[Skip]) -> tuple[Skip, ...]:
    """Replace the skips that this run's selection `covered` by its `new` ones, and keep the others. Returns what now stands there."""
    earlier = storage.read(path, Skips).skips if path.exists() else ()
    skips = (*(skip for skip in earlier if not covered(skip)), *new)
    storage.write(path, Skips(skips=skips))
    return skips
