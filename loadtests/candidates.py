"""What can be loaded: every running target that passes the filters, over each of its protocols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serveoff import artifacts, storage
from serveoff.contract import Manifest, Skip, Skips
from serveoff.errors import NotReadyError
from serveoff.launch import Endpoint, Target
from serveoff.plugins import Artifact, WireProtocol
from serveoff.registry import LAUNCHERS, PROTOCOLS
from serveoff.selection import Selection
from serveoff.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Candidate:
    """One protocol of one running target."""

    target: Target
    artifact: Artifact
    endpoint: Endpoint
    wire: WireProtocol

    @property
    def name(self) -> str:
        return f"{self.target.id} over {self.endpoint.protocol}"


def find(workspace: Workspace, selection: Selection) -> list[list[Candidate]]:
    """The candidates of each target, in order of the targets' ids. Raises NotReadyError when there is nothing to load."""
    targets = recorded(workspace)
    alive = [t for t in targets if _absence(t) is None]
    if not alive:
        ended = f": {len(targets)} targets are on record, none of them runs" if targets else ""
        raise NotReadyError(f"nothing is being served{ended}", hint="`make serve` starts everything that can run here")
    wanted = [target for target in alive if _wanted(workspace, target, selection)]
    if not wanted:
        raise NotReadyError(f"none of the {len(alive)} running targets passes the filters", hint="`serveoff status` shows what is running")
    current = [target for target in wanted if _replaced(workspace, target) is None]
    if not current:
        raise NotReadyError(
            f"every one of the {len(wanted)} running targets serves an artifact that was exported again since",
            hint="`serveoff serve` starts the new ones",
        )
    return [_of_target(workspace, target, selection) for target in current]


def running(workspace: Workspace) -> list[Target]:
    """Every target that lives, whether or not it passes any filter."""
    return [target for target in recorded(workspace) if exit_reason(target) is None]


def exit_reason(target: Target) -> str | None:
    """Why a target has ended; None while it lives."""
    launcher = LAUNCHERS.load(target.launcher)
    return None if launcher.alive(target) else launcher.exit_reason(target)


def skips(workspace: Workspace, selection: Selection) -> tuple[Skip, ...]:
    """For the report: what the earlier stages could not do here, and the targets on record that do not run now."""
    found = [path for path in (workspace.artifacts / "skips.json", workspace.targets / "skips.json") if path.exists()]
    earlier = [skip for path in found for skip in storage.read(path, Skips).skips]
    absent = [(t.id, _absence(t) or _replaced(workspace, t)) for t in recorded(workspace) if _wanted(workspace, t, selection)]
    return tuple(earlier + [Skip(stage="loadtest", what=what, reason=reason) for what, reason in absent if reason is not None])


def recorded(workspace: Workspace) -> list[Target]:
    return [storage.read(path, Target) for path in sorted(workspace.targets.glob("*/target.json"))]


def _absence(target: Target) -> str | None:
    """Why a target on record cannot be loaded; None when it runs."""
    ended = exit_reason(target)
    if ended is not None:
        return f"it had ended before the load test: {ended}"
    return None if target.ready_s is not None else "it was still starting"


def _replaced(workspace: Workspace, target: Target) -> str | None:
    """Why the artifact's directory is not what the target serves; None when it is. `serveoff serve` keeps a target by the same rule."""
    now = Path(target.artifact_path) / artifacts.MANIFEST
    if now.exists() and storage.read(now, Manifest).files == _served(workspace, target).files:
        return None
    return "its artifact was exported again since: `serveoff serve` starts the new one"


def _served(workspace: Workspace, target: Target) -> Manifest:
    """What the target was started with."""
    return storage.read(workspace.targets / target.id / artifacts.MANIFEST, Manifest)


def _wanted(workspace: Workspace, target: Target, selection: Selection) -> bool:
    """Whether it passes the filters. Nothing of its artifact is read: that may be gone."""
    if not (selection.wants_server(target.server) and selection.wants_launcher(target.launcher)):
        return False
    return selection.wants(_served(workspace, target)) and any(selection.wants_protocol(e.protocol) for e in target.endpoints)


def _of_target(workspace: Workspace, target: Target, selection: Selection) -> list[Candidate]:
    artifact = Artifact(directory=Path(target.artifact_path), manifest=_served(workspace, target))
    spoken = sorted((e for e in target.endpoints if selection.wants_protocol(e.protocol)), key=lambda e: e.protocol)
    return [Candidate(target, artifact, endpoint, PROTOCOLS.load(endpoint.protocol)) for endpoint in spoken]
