"""The cells of the export matrix: what is made, and what no model has."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from serveoff import own_models
from serveoff.contract import GIVEN, Framework, Origin, Skip
from serveoff.plugins import Source
from serveoff.registry import FORMATS, MODELS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from . import given


@dataclass(frozen=True, slots=True)
class Wanted:
    """One cell of the export matrix."""

    model: str
    framework: Origin
    format: str
    precision: str

    @property
    def source(self) -> Source:
        return given.source_of(self.format, self.framework)

    @property
    def id(self) -> str:
        return f"{self.model}.{self.framework}.{self.format}.{self.precision}"

    @property
    def float32(self) -> str:
        """The id of the float32 artifact that it begins with if that is there; empty where it begins with the model."""
        begins = self.source.from_float32 is not None and self.precision != "float32"
        return f"{self.model}.{self.framework}.{self.format}.float32" if begins else ""


def matrix(selection: Selection, workspace: Workspace) -> Iterator[Wanted]:
    """The cells that exist and pass the filters; models of the user's own only where they are named."""
    for model, origins in _origins(selection, workspace).items():
        own = own_models.find(workspace, model)
        if own and GIVEN in origins:
            yield from _as_given(model, own.kind, selection)
        for name, framework, source in _sources(selection, origins):
            for precision in source.precisions:
                if selection.wants_export(source, precision):
                    yield Wanted(model, framework, name, precision)


def without(selection: Selection, workspace: Workspace) -> Iterator[Skip]:
    """The selected cells that exist for no model, each once, and why."""
    origins = {origin for each in _origins(selection, workspace).values() for origin in each}
    for name, framework, source in _sources(selection, origins):
        for precision, reason in source.lacks.items():
            if selection.wants_export(source, precision):
                yield Skip(stage="format", what=f"{framework}.{name}.{precision}", reason=reason)


def _origins(selection: Selection, workspace: Workspace) -> dict[str, Collection[str]]:
    """What each selected model is made from."""
    own = {name: found for name in selection.models if (found := own_models.find(workspace, name))}
    origins: dict[str, Collection[str]] = {name: MODELS.load(name).builds for name in selection.models_to_make() if name not in own}
    return origins | {name: found.origins for name, found in own.items()}


def _sources(selection: Selection, origins: Collection[str]) -> Iterator[tuple[str, Framework, Source]]:
    for name in filter(selection.wants_format, FORMATS.names):
        for framework, source in FORMATS.load(name).sources.items():
            if framework in origins and selection.wants_framework(framework):
                yield name, framework, source


def _as_given(model: str, kind: str, selection: Selection) -> Iterator[Wanted]:
    if selection.wants_framework(GIVEN) and selection.wants_format(kind) and selection.wants_precision(GIVEN):
        yield Wanted(model, GIVEN, kind, GIVEN)
