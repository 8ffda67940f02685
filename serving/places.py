"""Servers that somebody else started (compose, Kubernetes, another host): where they are, and which artifact each is to serve."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from serveoff.contract import Skip
from serveoff.errors import UsageError
from serveoff.launch import LaunchSpec
from serveoff.plugins import Artifact
from serveoff.registry import SERVERS, suggestion

from .matrix import Wanted

LAUNCHER = "attached"
_PLACE = re.compile(r"(?P<server>[^=]+)=(?P<host>[^:/]+)(:(?P<rest>\d+))?(:(?P<grpc>\d+))?(/(?P<artifact>.+))?")
_HINT = "write it as SERVER=HOST[:REST_PORT[:GRPC_PORT]][/ARTIFACT], e.g. tfserving=10.0.0.7:8501:8500"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server is. A port that is not told is the one of the server's image."""

    server: str
    host: str
    rest: int | None = None
    grpc: int | None = None
    artifact: str = ""

    def __str__(self) -> str:
        return f"{self.server}={self.host}" + "".join(f":{port}" for port in (self.rest, self.grpc) if port is not None)

    def of(self, spec: LaunchSpec) -> LaunchSpec:
        """The spec with this host, and the ports at which clients reach it."""
        told = {"rest": self.rest, "grpc": self.grpc}
        ports = {name: told.get(protocol.rpartition("_")[2]) or spec.ports[name] for protocol, name in spec.protocols.items()}
        return msgspec.structs.replace(spec, listen=self.host, ports=spec.ports | ports)


def parse(texts: Sequence[str]) -> tuple[Place, ...]:
    """Raises UsageError for what is no place of a server that we know."""
    return tuple(map(_parse, texts))


def wanted(places: Sequence[Place], artifacts: Sequence[Artifact]) -> tuple[list[Wanted], list[Skip]]:
    """One target for each place. Raises UsageError where it is not clear which artifact one serves, or two would be one target."""
    found: dict[str, Wanted] = {}
    skips = []
    for place in places:
        formats = SERVERS.load(place.server).formats
        fitting = [a for a in artifacts if a.manifest.format in formats and place.artifact in ("", a.manifest.id)]
        if len(fitting) > 1:
            listed = ", ".join(artifact.manifest.id for artifact in fitting)
            raise UsageError(
                f"{place} serves one artifact, and {len(fitting)} could be it: {listed}",
                hint=f"say which: --at {place}/{fitting[0].manifest.id}, or name its --model, --framework, --format and --precision",
            )
        if not fitting:
            reason = f"there is no artifact {place.artifact or 'among those selected'} that {place.server} serves"
            skips.append(Skip(stage="serve", what=f"{place.server}.{LAUNCHER}", reason=reason))
            continue
        one = Wanted(fitting[0], place.server, LAUNCHER, place)
        if one.id in found:
            raise UsageError(f"{found[one.id].place} and {place} would both be {one.id}", hint="attach one of them")
        found[one.id] = one
    return list(found.values()), skips


def _parse(text: str) -> Place:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} does not say where a server is", hint=_HINT)
    server, host, rest, grpc, artifact = match.group("server", "host", "rest", "grpc", "artifact")
    if server not in SERVERS.names:
        raise UsageError(f"unknown server {server!r} in {text!r}", hint=suggestion(server, SERVERS.names))
    ports = [int(port) if port else None for port in (rest, grpc)]
    if any(port is not None and not 0 < port < 65536 for port in ports):
        raise UsageError(f"{text!r} names a port that does not exist", hint=_HINT)
    return Place(server, host, ports[0], ports[1], artifact or "")
