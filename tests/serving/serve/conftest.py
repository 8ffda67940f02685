"""Puts a server `tiny` and its wire protocol beside the real ones, for this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from serveoff import livecheck
from serveoff.contract import Manifest
from serveoff.errors import MissingToolError
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec
from serveoff.plugins import Artifact, Tensors
from serveoff.registry import PROTOCOLS, SERVERS
from serving import matrix, places, serve


class TinyRest:
    transport = "http"
    encoding = "json"

    def headers(self, body: bytes) -> dict[str, str]:
        return {}

    def path(self, endpoint: Endpoint) -> str:
        return "/"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        return json.dumps({"instances": inputs["x"].tolist()}).encode()

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, np.ndarray]:
        return {"y": np.array(json.loads(reply)["predictions"], np.float32)}


@dataclass
class TinyServer:
    """Serves the format `tiny`. `behaviours`: model -> how `tiny_server.py` shall behave. `missing`: kind -> why it is unavailable.

    `lacking`: the models that it has no runtime for.
    """

    spec: Callable[..., LaunchSpec]
    formats: tuple[str, ...] = ("tiny",)
    default: bool = True
    behaviours: dict[str, str] = field(default_factory=dict)
    missing: dict[LauncherKind, str] = field(default_factory=lambda: {"image": "tiny has no image"})
    timeout_s: float = 60
    lacking: tuple[str, ...] = ()
    launched: list[str] = field(default_factory=list)

    def unavailable(self, kind: LauncherKind) -> str | None:
        return self.missing.get(kind)

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        self.launched.append(artifact.manifest.model)
        if artifact.manifest.model in self.lacking:
            raise MissingToolError("no runtime for it", hint="install one")
        return self.spec(artifact, self.behaviours.get(artifact.manifest.model, "good"), self.timeout_s, threads)


class Plugins:
    """A registry with one plug-in more."""

    def __init__(self, name: str, plugin: object, real: object) -> None:
        self.names = [name]
        self._name, self._plugin, self._real = name, plugin, real

    def load(self, name: str) -> object:
        return self._plugin if name == self._name else self._real.load(name)  # type: ignore[attr-defined]


@pytest.fixture
def tiny(tiny_spec: Callable[..., LaunchSpec], monkeypatch: pytest.MonkeyPatch) -> TinyServer:
    server = TinyServer(tiny_spec)
    servers = Plugins("tiny", server, SERVERS)
    monkeypatch.setattr(matrix, "SERVERS", servers)
    monkeypatch.setattr(serve, "SERVERS", servers)
    monkeypatch.setattr(places, "SERVERS", servers)
    monkeypatch.setattr(livecheck, "PROTOCOLS", Plugins("tiny_rest", TinyRest(), PROTOCOLS))
    return server
