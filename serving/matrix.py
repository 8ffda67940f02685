"""Which server runs which artifact here, and how; and what cannot run, with its reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serveoff.contract import Skip
from serveoff.plugins import Artifact, Server
from serveoff.registry import LAUNCHERS, SERVERS
from serveoff.selection import Selection

if TYPE_CHECKING:
    from .places import Place

PREFERRED = ("process", "container")
"""Without a launcher by name: the first of these that can run the server here."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One target that can be started here, or is to be found at a place."""

    artifact: Artifact
    server: str
    launcher: str
    place: Place | None = None

    @property
    def id(self) -> str:
        return f"{self.artifact.manifest.id}@{self.server}.{self.launcher}"


def matrix(selection: Selection, artifacts: Sequence[Artifact]) -> tuple[list[Wanted], list[Skip]]:
    """One target per artifact and server: a process where that can run, unless the selection names launchers (then one for each)."""
    wanted: list[Wanted] = []
    skips: list[Skip] = []
    ways = _Ways(selection)
    for name in SERVERS.names:
        server = SERVERS.load(name)
        if not selection.wants_serving(name, server):
            continue
        served = [a for a in artifacts if a.manifest.format in server.formats]
        # What nobody asked for by name is no gap: the README's matrix says which server serves which format.
        for other in (a for a in artifacts if selection.servers and a not in served):
            reason = f"{name} does not serve {other.manifest.format}, only {', '.join(server.formats)}"
            skips.append(Skip(stage="serve", what=f"{other.manifest.id}@{name}", reason=reason))
        if served:
            launchers, missing = ways.of(name, server)
            wanted += [Wanted(artifact, name, launcher) for artifact in served for launcher in launchers]
            skips += missing
    return wanted, skips


def covered(skip: Skip, selection: Selection, artifacts: Sequence[Artifact], servable: Collection[str]) -> bool:
    """Whether an earlier skip of ours is answered anew by serving `artifacts`, or is about what is no longer `servable` (artifact ids)."""
    artifact_id, _, way = skip.what.rpartition("@")
    name, _, launcher = way.partition(".")
    if name not in SERVERS.names:
        return True
    if artifact_id:
        about = artifact_id not in servable or artifact_id in {artifact.manifest.id for artifact in artifacts}
    else:
        about = any(artifact.manifest.format in SERVERS.load(name).formats for artifact in artifacts)
    return about and selection.wants_serving(name, SERVERS.load(name)) and (not launcher or selection.wants_launcher(launcher))


@dataclass(slots=True)
class _Ways:
    """The launchers that are wanted, each asked once, and only when needed: an engine that does not answer costs seconds."""

    selection: Selection
    _asked: dict[str, str | None] = field(default_factory=dict)

    def of(self, name: str, server: Server) -> tuple[list[str], list[Skip]]:
        """The launchers that run `server` here. When none does, one skip has all their reasons."""
        launchers, reasons = [], {}
        for launcher in self._names():
            reason = server.unavailable(LAUNCHERS.load(launcher).kind) or self._unavailable(launcher)
            if reason is None:
                launchers.append(launcher)
                if not self.selection.launchers:
                    return launchers, []
            else:
                reasons[launcher] = reason
        if launchers:
            return launchers, [Skip(stage="serve", what=f"{name}.{launcher}", reason=reason) for launcher, reason in reasons.items()]
        return [], [Skip(stage="serve", what=name, reason="; ".join(f"{launcher}: {reason}" for launcher, reason in reasons.items()))]

    def _names(self) -> Sequence[str]:
        if not self.selection.launchers:
            return PREFERRED
        return sorted(filter(self.selection.wants_launcher, LAUNCHERS.names), key=lambda name: (name != PREFERRED[0], name))

    def _unavailable(self, launcher: str) -> str | None:
        if launcher not in self._asked:
            self._asked[launcher] = LAUNCHERS.load(launcher).unavailable()
        return self._asked[launcher]
