"""A short path to a target's scratch directory: the path of a UNIX socket may have 107 bytes, and a workspace may lie deep.

The directory lies in the target's own; a link in the system's temporary directory makes its path short.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def make(work: Path) -> Path:
    """The short path to `work/scratch`, which is made."""
    directory = work / "scratch"
    directory.mkdir(parents=True, exist_ok=True)
    link = _link(work)
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    return link


def remove(work: Path) -> None:
    link = _link(work)
    if link.is_symlink() and link.readlink() == work / "scratch":
        link.unlink()


def _link(work: Path) -> Path:
    digest = hashlib.sha256(str(work).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"serveoff-{os.getuid()}-{digest}")
