"""The targets of a workspace as they are on disk and in the process table: which run, which died, and how to end them all."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from serveoff import process, running, storage
from serveoff.artifacts import MANIFEST
from serveoff.contract import Manifest
from serveoff.errors import InputError, ServeoffError
from serveoff.launch import Target
from serveoff.registry import LAUNCHERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

RECORD = "target.json"
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Status:
    """A recorded target. `reason` says how a dead one ended, with the last lines of its log."""

    target: Target
    running: bool
    reason: str


def recorded(workspace: Workspace) -> list[Target]:
    """Every target that was started and not stopped, in order of their ids."""
    return [storage.read(path, Target) for path in _records(workspace)]


def status(workspace: Workspace) -> list[Status]:
    found = []
    for target in recorded(workspace):
        launcher = LAUNCHERS.load(target.launcher)
        alive = launcher.alive(target)
        found.append(Status(target, alive, "" if alive else launcher.exit_reason(target)))
    return found


def stop(workspace: Workspace, selection: Selection) -> list[str]:
    """End the selected targets and say what was ended. With an empty selection also commands at work, and whatever a crash left behind.

    Ends all it can before it raises what it could not, in one error that also says what was ended.
    """
    everything = selection == Selection()
    ended = _stop_commands(workspace) if everything else []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = list(pool.map(functools.partial(_stop_one, selection=selection), _records(workspace)))
    ended += [result for result in results if isinstance(result, str)]
    errors = [result for result in results if isinstance(result, ServeoffError)]
    if everything:
        for launcher in LAUNCHERS.all().values():
            try:
                ended += launcher.sweep(workspace.root)
            except ServeoffError as error:
                errors.append(error)
    if errors:
        gravest = max(errors, key=lambda error: error.exit_code)
        done = f"\n(ended: {', '.join(ended)})" if ended else ""
        raise type(gravest)("\n".join(error.message for error in errors) + done, gravest.hint)
    return ended


def _stop_one(record: Path, selection: Selection) -> str | ServeoffError | None:
    """What was ended, or what went wrong; None for a target that is not selected."""
    everything = selection == Selection()
    try:
        target = storage.read(record, Target)
        if not everything and not _selected(target, record, selection):
            return None
        end(target, record)
    except InputError:  # a damaged record: the sweep finds what it stood for
        if everything:
            record.unlink(missing_ok=True)
        return None
    except OSError as error:
        return InputError(f"{record} cannot be read: {error}", hint="delete its folder, then `serveoff stop` again")
    except ServeoffError as error:
        return error
    return f"target {target.id}"


def end(target: Target, record: Path) -> None:
    """Stop one target; its record goes, its log stays."""
    LAUNCHERS.load(target.launcher).stop(target)
    record.unlink(missing_ok=True)


def _records(workspace: Workspace) -> list[Path]:
    return sorted(workspace.targets.glob(f"*/{RECORD}"))


def _selected(target: Target, record: Path, selection: Selection) -> bool:
    return (
        selection.wants_server(target.server)
        and selection.wants_launcher(target.launcher)
        and any(selection.wants_protocol(endpoint.protocol) for endpoint in target.endpoints)
        and selection.wants(storage.read(record.with_name(MANIFEST), Manifest))
    )


def _stop_commands(workspace: Workspace) -> list[str]:
    us = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    ended = []
    for path, worker in running.workers(workspace):
        if worker.pid in us:
            continue
        if process.end_tree(worker.pid, worker.pid_started_at):
            ended.append(f"the command `serveoff {worker.command}` (process {worker.pid})")
        path.unlink(missing_ok=True)
    return ended
