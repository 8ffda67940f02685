"""Takes servers that somebody else started: compose, Kubernetes, another host. Nothing is started, paused, pinned or ended here."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from pathlib import Path

from serveoff import storage
from serveoff.errors import ServeoffError
from serveoff.launch import LauncherKind, LaunchSpec, Target
from serveoff.plugins import Artifact, Launcher

from .. import ready
from . import _slots


class AttachedLauncher:
    kind: LauncherKind = "image"
    """Its ports, paths and model names are taken for those of the server's image."""

    def unavailable(self) -> str | None:
        return "it is for servers that somebody else started: say where they are, with --at SERVER=HOST"

    def start(self, target_id: str, spec: LaunchSpec, artifact: Artifact, work: Path) -> Target:
        """`spec` holds the host and the ports at which clients reach the server."""
        log = work / "log.txt"
        storage.write_bytes(log, b"Somebody else started this server: its log is where it runs.\n")
        return Target(
            id=target_id,
            server=spec.server,
            launcher="attached",
            artifact_id=spec.artifact_id,
            artifact_path=str(artifact.directory),
            endpoints=_slots.endpoints(spec, spec.ports),
            threads=spec.threads,
            metrics=_slots.metrics(spec, spec.ports),
            log=str(log),
            command=(),
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def alive(self, target: Target) -> bool:
        """Whether all its ports take connections. One that was never ready may still come up: nobody here can tell."""
        return target.ready_s is None or _silence(target) is None

    def exit_reason(self, target: Target) -> str:
        silence = _silence(target)
        if silence is None:
            return "takes connections"
        return f"takes no connection: {silence}; somebody else started it, so the end of its log is where it ran"

    def stop(self, target: Target) -> None:
        """Only forgets it: it is not ours to end."""

    def pause(self, target: Target) -> None:
        raise ServeoffError(f"{target.id} cannot be paused: somebody else started it")

    def resume(self, target: Target) -> None: ...

    def asleep(self, target: Target) -> bool:
        return False

    def pin(self, target: Target, cores: Collection[int]) -> None:
        raise ServeoffError(f"{target.id} cannot be pinned to cores: somebody else started it")

    def processes(self, target: Target) -> list[int] | None:
        return None

    def sweep(self, workspace: Path) -> list[str]:
        return []


def _silence(target: Target) -> str | None:
    """Why one of its endpoints takes no connection; None when all do."""
    return next((f"{e.host}:{e.port}: {why}" for e in target.endpoints if (why := ready.deafness(e)) is not None), None)


LAUNCHER: Launcher = AttachedLauncher()
