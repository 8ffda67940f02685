"""Version folders and which of them should be served (file_system_storage_path_source.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serveoff.wire import tfs_pb2 as pb

from .log import warn


@dataclass(frozen=True, slots=True)
class Policy:
    """Which of the versions on disk to serve: the `latest` newest, or the `specific` ones, or all (`latest` None, `specific` empty)."""

    latest: int | None = 1
    specific: frozenset[int] = frozenset()

    @classmethod
    def from_proto(cls, proto: Any) -> Policy:
        """Of a ServableVersionPolicy; an empty one means the newest version."""
        choice = proto.WhichOneof("policy_choice")
        if choice == "all":
            return cls(latest=None)
        if choice == "specific":
            return cls(latest=None, specific=frozenset(proto.specific.versions))
        return cls(latest=proto.latest.num_versions or 1)

    def choose(self, found: set[int]) -> set[int]:
        if self.specific:
            return found & self.specific
        return found if self.latest is None else set(sorted(found)[-self.latest :])


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model to serve."""

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_proto(cls, proto: pb.ModelConfig) -> ModelConfig:
        labels = tuple(sorted(proto.version_labels.items()))
        return cls(proto.name, Path(proto.base_path), Policy.from_proto(proto.model_version_policy), labels)


def scan(base_path: Path) -> dict[int, Path] | None:
    """Version number -> folder, for each sub-folder whose name reads as a number; None when there is no such base path."""
    try:
        entries = sorted(base_path.iterdir())
    except OSError:
        return None
    found: dict[int, Path] = {}
    for entry in entries:
        if not (entry.name.isascii() and entry.name.isdigit()) or not entry.is_dir():
            continue
        version = int(entry.name)
        if version >= 1 << 63:
            continue
        if version in found:
            warn(f"Duplicate version directories detected. Version {version} will be loaded from {found[version]}, {entry} is ignored")
            continue
        found[version] = entry
    return found
