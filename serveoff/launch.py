"""The files of serving: what to run (a server writes it), and what runs (a launcher writes it). Strict, as `serveoff.contract` is."""

from __future__ import annotations

from typing import Literal

import msgspec

from serveoff.contract import Struct

LauncherKind = Literal["host", "image"]
"""Where a launcher runs things: on this host's own file system, or inside a container image."""
LOOPBACK = "127.0.0.1"
"""Where everything listens unless told otherwise."""


class Mount(Struct, frozen=True, kw_only=True):
    """A host directory that the server reads; `container_path` is where an image expects it."""

    host_path: str
    container_path: str


class Readiness(Struct, frozen=True, kw_only=True):
    """An HTTP GET that answers 200 with `contains` in its body once the server is ready."""

    port: str
    path: str
    contains: str = ""
    timeout_s: float = 120.0


class MetricsPage(Struct, frozen=True, kw_only=True):
    """Where a server tells its own counters, as a page of Prometheus' text."""

    port: str
    path: str


class LaunchSpec(Struct, frozen=True, kw_only=True):
    """What to run, not how.

    Slots in `argv`, `env` values and the contents of `files`: `{port.NAME}`, `{mount.NAME}`, `{file.NAME}` (the path of a file of
    `files`), `{work}` (a writable directory), `{scratch}` (one with a short path, for sockets), `{host}` (the address to listen on, where
    it runs). The launcher fills them in.
    Exactly one of `module` (run with our Python), `binary` (a program on PATH or a path) and `image` is set.
    """

    schema: int = 1
    server: str
    artifact_id: str
    model_name: str
    module: str | None = None
    binary: str | None = None
    image: str | None = None
    entrypoint: str | None = None
    argv: tuple[str, ...]
    ports: dict[str, int]
    """Port name -> the conventional port (used inside an image; on the host a free one is taken)."""
    protocols: dict[str, str]
    """Wire protocol -> the name of the port that speaks it."""
    mounts: dict[str, Mount] = msgspec.field(default_factory=dict)
    files: dict[str, str] = msgspec.field(default_factory=dict)
    env: dict[str, str] = msgspec.field(default_factory=dict)
    threads: int
    readiness: Readiness
    metrics: MetricsPage | None = None
    listen: str = LOOPBACK
    """The address of this host at which clients reach it."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where one wire protocol of a target is spoken."""

    protocol: str
    host: str
    port: int
    model_name: str


class Target(Struct, frozen=True, kw_only=True):
    """One running server with one artifact loaded."""

    schema: int = 1
    id: str
    server: str
    launcher: str
    artifact_id: str
    artifact_path: str
    endpoints: tuple[Endpoint, ...]
    threads: int
    metrics: str | None = None
    """The URL of its metrics page; its server plug-in reads it."""
    pid: int | None = None
    pid_started_at: float | None = None
    """The process's creation time (psutil), so that a reused pid is never taken for ours."""
    container: str | None = None
    log: str
    command: tuple[str, ...]
    started_at: str
    ready_s: float | None = None
    """Seconds from start to the first correct answer; None while it is starting."""
