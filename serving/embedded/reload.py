"""Applies model configs: at the start, from the polled config file, and from HandleReloadConfigRequest (server_core.cc, ReloadConfig)."""

from __future__ import annotations

import threading

from serveoff.wire import tfs_pb2 as pb

from . import log, text_protos
from .catalog import Catalog, VersionStatus
from .config import check_labels, from_proto
from .lifecycle import Lifecycle
from .status import Code, ServingError


class Reloader:
    """One config at a time; each replaces the one before."""

    def __init__(self, catalog: Catalog, lifecycle: Lifecycle, *, allow_unavailable_labels: bool) -> None:
        self._catalog = catalog
        self._lifecycle = lifecycle
        self._allow_unavailable_labels = allow_unavailable_labels
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def apply(self, proto: pb.ModelServerConfig) -> None:
        """Serve what `proto` says; returns when every new model had its load attempt. Blocks. Raises ServingError."""
        with self._lock:
            configs = from_proto(proto)
            if not configs and proto.WhichOneof("config") is None:
                log.info("Taking no action for empty config.")
                return
            names = {config.name for config in configs}
            check_labels(
                configs,
                {name: self._catalog.labels(name) for name in names},
                {name: set(self._catalog.servables(name)) for name in names},
                allow_unavailable=self._allow_unavailable_labels,
            )
            new = sorted(names - self._names)
            self._names = names
            self._lifecycle.configure(configs)
        failures = self._lifecycle.wait_until_loaded(new)
        if failures:
            raise ServingError(Code.UNKNOWN, _unavailable(failures))

    def watch(self, path: str, wait_s: float, ended: threading.Event) -> None:
        """Read the config file again and again, and apply it when it changed. Blocks until `ended`."""
        applied = text_protos.read("ModelServerConfig", path)
        while not ended.wait(wait_s):
            try:
                proto = text_protos.read("ModelServerConfig", path)
                if proto != applied:
                    self.apply(proto)
                    applied = proto
            except ServingError as error:
                log.error(f"Failed to reload {path}: {error}")


def _unavailable(failures: list[tuple[str, VersionStatus]]) -> str:
    details = "".join(f"{{name: {name} version: {status.version}}} due to error: {status.error}, " for name, status in failures)
    return f"{len(failures)} model(s) did not become available: {{{details}}}"
