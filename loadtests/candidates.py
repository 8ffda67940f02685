"""What can be loaded: every running target that passes the filters, over each of its protocols."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serveoff import artifacts, storage
from serveoff.contract import Endpoint, Skip, Skips, Target
from serveoff.errors import NotReadyError
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
    groups = [_of_target(target, selection) for target in alive]
    if not any(groups):
        raise NotReadyError(f"none of the {len(alive)} running targets passes the filters", hint="`serveoff status` shows what is running")
    return [group for group in groups if group]


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
    absent = [(t.id, _absence(t)) for t in recorded(workspace) if _of_target(t, selection)]
    return tuple(earlier + [Skip(stage="loadtest", what=what, reason=reason) for what, reason in absent if reason is not None])


def recorded(workspace: Workspace) -> list[Target]:
    return [storage.read(path, Target) for path in sorted(workspace.targets.glob("*/target.json"))]


def _absence(target: Target) -> str | None:
    """Why a target on record cannot be loaded; None when it runs."""
    ended = exit_reason(target)
    if ended is not None:
        return f"it had ended before the load test: {ended}"
    return None if target.ready_s is not None else "it was still starting"


def _of_target(target: Target, selection: Selection) -> list[Candidate]:
    if not (selection.wants_server(target.server) and selection.wants_launcher(target.launcher)):
        return []
    artifact = artifacts.read(Path(target.artifact_path))
    if not selection.wants(artifact.manifest):
        return []
    spoken = sorted((e for e in target.endpoints if selection.wants_protocol(e.protocol)), key=lambda e: e.protocol)
    return [Candidate(target, artifact, endpoint, PROTOCOLS.load(endpoint.protocol)) for endpoint in spoken]
