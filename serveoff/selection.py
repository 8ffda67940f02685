"""What part of the matrix a command works on. An empty filter means everything, to make something the default; `all` means all there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from serveoff.contract import Framework, Manifest
from serveoff.errors import UsageError
from serveoff.plugins import Server, Source
from serveoff.registry import FORMATS, LAUNCHERS, MODELS, PROTOCOLS, SERVERS, suggestion

ALL = "all"
FLOAT32 = "float32"


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters by name. A protocol may be given as a suffix: `rest` means every `..._rest`."""

    models: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    launchers: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()

    def check(self, own_models: Sequence[str] = ()) -> None:
        """Raises UsageError for the first unknown name. `own_models`: those of the user's own that the workspace knows."""
        precisions = sorted({p for f in FORMATS.all().values() for p in f.precisions}) if self.precisions else []
        protocols = [*PROTOCOLS.names, *{n.rpartition("_")[2] for n in PROTOCOLS.names}]
        for kind, asked, known in (
            ("model", [name.partition("@")[0] for name in self.models], [*MODELS.names, *own_models]),
            ("framework", self.frameworks, list(get_args(Framework))),
            ("format", self.formats, FORMATS.names),
            ("precision", self.precisions, precisions),
            ("server", self.servers, SERVERS.names),
            ("launcher", self.launchers, LAUNCHERS.names),
            ("protocol", self.protocols, protocols),
        ):
            for name in asked:
                if name not in {ALL, *known}:
                    raise UsageError(f"unknown {kind} {name!r}", hint=suggestion(name, known))

    def wants_model(self, name: str) -> bool:
        return _wanted(self.models, name)

    def models_to_make(self) -> list[str]:
        """What is trained and exported: the models that are named; without a name, the default ones."""
        named = [name for name in self.models if name != ALL]
        if ALL in self.models:
            return [*MODELS.names, *(name for name in named if name not in MODELS.names)]
        return named or [name for name, spec in MODELS.all().items() if spec.default]

    def wants_framework(self, name: str) -> bool:
        return _wanted(self.frameworks, name)

    def wants_format(self, name: str) -> bool:
        return _wanted(self.formats, name)

    def wants_precision(self, name: str) -> bool:
        return _wanted(self.precisions, name)

    def wants_export(self, source: Source, precision: str) -> bool:
        """Whether an export is made: without a filter only the default formats, in float32; all formats come in all precisions."""
        asked_for = (source.default or self.formats) and (precision == FLOAT32 or self.precisions or ALL in self.formats)
        return bool(asked_for) and self.wants_precision(precision)

    def wants_server(self, name: str) -> bool:
        return _wanted(self.servers, name)

    def wants_serving(self, name: str, server: Server) -> bool:
        """Whether it is started: without a filter only the default servers."""
        return self.wants_server(name) and (server.default or bool(self.servers))

    def wants_launcher(self, name: str) -> bool:
        return _wanted(self.launchers, name)

    def wants_protocol(self, name: str) -> bool:
        return _wanted(self.protocols, name) or name.rpartition("_")[2] in self.protocols

    def wants(self, manifest: Manifest) -> bool:
        """Whether an artifact passes the filters of model, framework, format and precision."""
        return (
            self.wants_model(manifest.model)
            and self.wants_framework(manifest.framework)
            and self.wants_format(manifest.format)
            and self.wants_precision(manifest.precision)
        )


def _wanted(filters: tuple[str, ...], name: str) -> bool:
    return not filters or name in filters or ALL in filters
