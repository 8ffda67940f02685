"""Which versions of which models there are, in what state: written by the lifecycle's threads, read by every request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from .servable import Servable
from .status import ServingError, invalid, not_found


class State(IntEnum):
    """ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionStatus:
    version: int
    state: State
    error: ServingError | None = None


@dataclass(frozen=True, slots=True)
class _Model:
    """Replaced as a whole at every change, so that readers need no lock."""

    statuses: Mapping[int, VersionStatus]
    servables: Mapping[int, Servable]
    labels: Mapping[str, int]


_NOTHING = _Model({}, {}, {})


class Catalog:
    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._changed = threading.Condition()

    def _update(self, name: str, change: Callable[[_Model], _Model]) -> None:
        with self._changed:
            self._models = self._models | {name: change(self._models.get(name, _NOTHING))}
            self._changed.notify_all()

    def set_status(self, name: str, status: VersionStatus) -> None:
        """A version's new state. One that is not AVAILABLE answers no more requests."""

        def change(model: _Model) -> _Model:
            servables = {v: s for v, s in model.servables.items() if v != status.version or status.state == State.AVAILABLE}
            return replace(model, statuses=dict(model.statuses) | {status.version: status}, servables=servables)

        self._update(name, change)

    def publish(self, servable: Servable) -> None:
        """The version answers requests from now on."""
        version = servable.version

        def change(model: _Model) -> _Model:
            return replace(
                model,
                statuses=dict(model.statuses) | {version: VersionStatus(version, State.AVAILABLE)},
                servables=dict(model.servables) | {version: servable},
            )

        self._update(servable.name, change)

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        self._update(name, lambda model: replace(model, labels=dict(labels)))

    def labels(self, name: str) -> Mapping[str, int]:
        return self._models.get(name, _NOTHING).labels

    def servables(self, name: str) -> Mapping[int, Servable]:
        return self._models.get(name, _NOTHING).servables

    def all_servables(self) -> list[Servable]:
        return [servable for model in self._models.values() for servable in model.servables.values()]

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The version to answer with; the newest when none is named. Raises ServingError with TF Serving's texts."""
        model = self._models.get(name, _NOTHING)
        if label is not None:
            version = model.labels.get(label)
            if version is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        if version is None:
            if not model.servables:
                raise not_found(f"Servable not found for request: Latest({name})")
            return model.servables[max(model.servables)]
        servable = model.servables.get(version)
        if servable is None:
            raise not_found(f"Servable not found for request: Specific({name}, {version})")
        return servable

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Newest first, unloaded versions included. Raises ServingError (NOT_FOUND)."""
        known = self._models.get(name, _NOTHING).statuses
        if version is not None:
            if version not in known:
                raise not_found(f"Could not find version {version} of model {name}")
            return [known[version]]
        if not known:
            raise not_found(f"Could not find any versions of model {name}")
        return [known[v] for v in sorted(known, reverse=True)]

    def status_of(self, name: str, version: int) -> VersionStatus | None:
        return self._models.get(name, _NOTHING).statuses.get(version)

    def knows(self, name: str) -> bool:
        return name in self._models

    def known(self, name: str) -> list[VersionStatus]:
        return list(self._models.get(name, _NOTHING).statuses.values())

    def touch(self) -> None:
        """Let those who wait ask their condition again."""
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Block until `condition` holds; it is asked after every change. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)
