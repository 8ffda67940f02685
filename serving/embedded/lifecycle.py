"""Keeps what is loaded equal to what should be: polls version folders, loads, retries, unloads without a gap in service.

The rules are TF Serving's availability-preserving policy: a version that is no longer wanted stays until a wanted one answers, so a broken
or half-copied version never replaces a working one.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import log
from .catalog import Catalog, State, VersionStatus
from .loading import LoadOptions, load
from .servable import Means, Servable
from .status import Code, ServingError
from .versions import ModelConfig, scan


@dataclass(frozen=True, slots=True)
class LifecycleOptions:
    """When versions are looked for and loaded. `poll_s`: 0 looks once, a negative value never."""

    load_threads: int
    poll_s: float = 1.0
    max_retries: int = 5
    retry_interval_s: float = 60.0
    prepare: Callable[[Servable, Path], None] = lambda _servable, _directory: None
    """Called between load and publication (warm-up); an error there fails the load."""


class Lifecycle:
    def __init__(self, catalog: Catalog, options: LifecycleOptions, load_options: LoadOptions, means: Means) -> None:
        self._catalog = catalog
        self._options = options
        self._load_options = load_options
        self._means = means
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(options.load_threads)
        self._configs: dict[str, ModelConfig] = {}
        self._wanted: dict[str, dict[int, Path]] = {}
        self.ended = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def configure(self, configs: Sequence[ModelConfig]) -> None:
        """Serve exactly these models from now on; models that are not named are unloaded."""
        with self._lock:
            gone = self._configs.keys() - {c.name for c in configs}
            self._configs = {c.name: c for c in configs}
            for name in gone:
                self._wanted[name] = {}
        for config in configs:
            self._catalog.set_labels(config.name, dict(config.labels))
        if self._options.poll_s >= 0:
            self._poll()

    def close(self) -> None:
        """Stop watching, and close every model once its last request is done."""
        self.ended.set()
        self._wake.set()
        for servable in self._catalog.all_servables():
            self._catalog.set_status(servable.name, VersionStatus(servable.version, State.END))
            servable.close()

    def wait_until_loaded(self, names: Sequence[str]) -> list[tuple[str, VersionStatus]]:
        """Block until every named model has versions and none of them is still being loaded; the failed ones are returned."""
        self._catalog.wait_for(lambda: self.ended.is_set() or all(self._settled(name) for name in names))
        return [
            (name, status)
            for name in names
            for version in self._wanted.get(name, {})
            if (status := self._catalog.status_of(name, version)) is not None and status.error is not None
        ]

    def interrupt(self) -> None:
        """Let `wait_until_loaded` return now."""
        self.ended.set()
        self._catalog.touch()

    def _settled(self, name: str) -> bool:
        wanted = self._wanted.get(name, {})
        statuses = [self._catalog.status_of(name, version) for version in wanted]
        return bool(wanted) and all(s is not None and s.state in (State.AVAILABLE, State.END) for s in statuses)

    def _watch(self) -> None:
        while not self.ended.is_set():
            woken = self._wake.wait(self._options.poll_s if self._options.poll_s > 0 else None)
            self._wake.clear()
            if self.ended.is_set():
                return
            if woken:
                self._reconcile()
            else:
                self._poll()

    def _poll(self) -> None:
        with self._lock:
            found = {name: scan(config.base_path) for name, config in self._configs.items()}
            for name, versions in found.items():
                if versions is None:
                    # One missing base path ends the round for every model, as in TF Serving.
                    log.warn(f"Could not find base path {self._configs[name].base_path} for servable {name}")
                    return
            for name, config in self._configs.items():
                versions = found[name] or {}
                if not versions:
                    log.warn(f"No versions of servable {name} found under base path {config.base_path}")
                self._wanted[name] = {v: versions[v] for v in config.policy.choose(set(versions))}
                self._forget_failures(name, versions)
        self._reconcile()

    def _forget_failures(self, name: str, versions: dict[int, Path]) -> None:
        """A failed version is tried again only after its folder went away and came back."""
        for status in self._catalog.known(name):
            if status.error is not None and status.version not in versions:
                self._catalog.set_status(name, VersionStatus(status.version, State.END))

    def _reconcile(self) -> None:
        with self._lock:
            for name, wanted in self._wanted.items():
                for version, path in sorted(wanted.items()):
                    status = self._catalog.status_of(name, version)
                    if status is None or (status.state == State.END and status.error is None):
                        self._catalog.set_status(name, VersionStatus(version, State.START))
                        self._spawn(self._load, name, version, path)
                serving = self._catalog.servables(name)
                if not wanted or serving.keys() & wanted.keys():
                    for version in sorted(serving.keys() - wanted.keys()):
                        servable = serving[version]
                        self._catalog.set_status(name, VersionStatus(version, State.UNLOADING))
                        self._spawn(self._unload, servable)

    @staticmethod
    def _spawn(work: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=work, args=arguments, name=work.__name__, daemon=True).start()

    def _load(self, name: str, version: int, path: Path) -> None:
        options = self._options
        self._catalog.set_status(name, VersionStatus(version, State.LOADING))
        for attempt in range(options.max_retries + 1):
            if attempt:
                log.info(f"Retrying to load {{name: {name} version: {version}}}, retry {attempt}")
            try:
                with self._slots:
                    servable = load(name, version, path, self._load_options, self._means)
                    options.prepare(servable, path)
            except ServingError as error:
                failure = error
                log.warn(f"Loading servable: {{name: {name} version: {version}}} failed: {error}")
            except Exception as error:
                failure = ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
                log.warn(f"Loading servable: {{name: {name} version: {version}}} failed: {failure}")
            else:
                log.info(f"Successfully loaded servable version {{name: {name} version: {version}}} with {servable.runtime}")
                self._catalog.publish(servable)
                self._wake.set()
                return
            last = attempt == options.max_retries
            if last or self.ended.wait(options.retry_interval_s) or version not in self._wanted.get(name, {}):
                break
        self._catalog.set_status(name, VersionStatus(version, State.END, failure))
        self._wake.set()

    def _unload(self, servable: Servable) -> None:
        servable.close()
        log.info(f"Unloaded servable version {{name: {servable.name} version: {servable.version}}}")
        self._catalog.set_status(servable.name, VersionStatus(servable.version, State.END))
        spare_collector()
        self._wake.set()


def spare_collector() -> None:
    """Collect now, and let later collections pass over what is loaded.

    A full one walks through all the framework's objects: 0.2 to 0.4 s (measured) in which nobody is answered. Again after an unload: what
    is frozen is never collected, so a version that has gone would leave its cycles behind.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
