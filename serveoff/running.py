"""Who is at work in a workspace. Two load tests at once would spoil each other; and `serveoff stop` must find a command that hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from serveoff import process, storage
from serveoff.contract import Struct
from serveoff.errors import UsageError
from serveoff.workspace import Workspace


class Worker(Struct, frozen=True, kw_only=True):
    """One serveoff command at work."""

    schema: int = 1
    command: str
    pid: int
    pid_started_at: float


@contextmanager
def at_work(workspace: Workspace, command: str) -> Iterator[None]:
    """Hold the place of `command` in this workspace. Raises UsageError when another one is at it."""
    path = workspace.running / f"{command}.json"
    if path.exists():
        other = storage.read(path, Worker)
        if process.find(other.pid, other.pid_started_at) is not None and other.pid != os.getpid():
            raise UsageError(f"another `serveoff {command}` is at work here (process {other.pid})", hint="wait for it, or `serveoff stop`")
    me = psutil.Process()
    storage.write(path, Worker(command=command, pid=me.pid, pid_started_at=me.create_time()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def workers(workspace: Workspace) -> list[tuple[Path, Worker]]:
    """The commands that said they are at work, whether or not they still live."""
    return [(path, storage.read(path, Worker)) for path in sorted(workspace.running.glob("*.json"))]
