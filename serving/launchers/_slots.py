"""Fills the slots of a launch spec (`serveoff.launch.LaunchSpec`) with what a launcher has chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serveoff import storage
from serveoff.errors import ServeoffError
from serveoff.launch import Endpoint, LaunchSpec

from .. import readable

_SLOT = re.compile(r"\{(?:(port|mount|file)\.([^{}]+)|(work|scratch|host))\}")


@dataclass(frozen=True, slots=True)
class Slots:
    """The values: as the server sees them, wherever it runs."""

    ports: Mapping[str, int]
    mounts: Mapping[str, str]
    files: Mapping[str, str]
    work: str
    scratch: str
    host: str

    def fill(self, text: str) -> str:
        """`text` with its slots filled; other braces stay. Raises ServeoffError for a slot that the spec does not declare."""
        return _SLOT.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        kind, name, single = match.groups()
        if single:
            return str(getattr(self, single))
        known = {"port": self.ports, "mount": self.mounts, "file": self.files}[kind]
        if name not in known:
            raise ServeoffError(f"the launch spec has the slot {match.group()}, but declares no {kind} {name!r}")
        return str(known[name])


def uses(spec: LaunchSpec, slot: str) -> bool:
    """Whether the spec has the slot `{slot}` anywhere."""
    return any(f"{{{slot}}}" in text for text in (*spec.argv, *spec.env.values(), *spec.files.values()))


def write_files(spec: LaunchSpec, slots: Slots, directory: Path) -> None:
    """Write the spec's files, slots filled, readable for any user of an image."""
    for name, text in spec.files.items():
        storage.write_bytes(directory / name, slots.fill(text).encode())
    if spec.files:
        readable.for_any_user(directory)


def metrics(spec: LaunchSpec, ports: Mapping[str, int]) -> str | None:
    """The URL of the metrics page for a client on this host, given the ports on this host."""
    return f"http://{spec.listen}:{ports[spec.metrics.port]}{spec.metrics.path}" if spec.metrics else None


def endpoints(spec: LaunchSpec, ports: Mapping[str, int]) -> tuple[Endpoint, ...]:
    """Where a client reaches each protocol, given the ports on this host."""
    return tuple(
        Endpoint(protocol=protocol, host=spec.listen, port=ports[port], model_name=spec.model_name)
        for protocol, port in spec.protocols.items()
    )
