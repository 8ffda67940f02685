"""Who is at work in a workspace. Two load tests at once would spoil each other; and `serveoff stop` must find a command that hangs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
import psutil

from serveoff import storage
from serveoff.contract import Struct
from serveoff.errors import InputError, UsageError
from serveoff.workspace import Workspace


class Worker(Struct, frozen=True, kw_only=True):
    """One serveoff command at work."""

    schema: int = 1
    command: str
    pid: int
    pid_started_at: float


@contextmanager
def at_work(workspace: Workspace, command: str) -> Iterator[None]:
    """Hold the place of `command` in this workspace: a lock on its record. Raises UsageError when another one is at it.

    The lock goes with the process, however that ends.
    """
    path = workspace.running / f"{command}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, command) as file:
        me = psutil.Process()
        file.truncate()
        file.write(msgspec.json.encode(Worker(command=command, pid=me.pid, pid_started_at=me.create_time())))
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, command: str) -> IO[bytes]:
    """The record, open and locked. Whoever held it before may have removed it between our opening and our locking: then once more."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BlockingIOError:
            other = _read(path)
            who = f" (process {other.pid})" if other else ""
            file.close()
            raise UsageError(f"another `serveoff {command}` is at work here{who}", hint="wait for it, or `serveoff stop`") from None
        except BaseException:
            file.close()
            raise
        file.close()


def workers(workspace: Workspace) -> list[tuple[Path, Worker]]:
    """The commands that said they are at work, whether or not they still live. A record that cannot be read says nothing."""
    return [(path, worker) for path in sorted(workspace.running.glob("*.json")) if (worker := _read(path)) is not None]


def _read(path: Path) -> Worker | None:
    try:
        return storage.read(path, Worker)
    except InputError:
        return None
