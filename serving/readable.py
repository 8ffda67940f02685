"""What is mounted into an image is read there by a user who is not ours."""

from __future__ import annotations

from pathlib import Path


def for_any_user(folder: Path) -> None:
    """Let every user read the folder and all that is in it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
