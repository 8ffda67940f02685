"""Runs a server as a process of this host: detached, in a session of its own, with free ports on 127.0.0.1 and a log file."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from serveoff import affinity, process
from serveoff.errors import ServeoffError
from serveoff.launch import LauncherKind, LaunchSpec, Target
from serveoff.plugins import Artifact, Launcher

from .. import ports
from . import _log, _scratch, _slots

TARGET = "SERVEOFF_TARGET"
"""The environment variable that marks everything a target started, as `serveoff.process.OWNER` marks the workspace."""

_PAUSE_TRIES, _PAUSE_TRY_S = 100, 0.005
_SWEEPS = 3
"""Whoever is not ended yet can start another one meanwhile."""
_EXIT_FILE = "exit-code"
# Nobody but the parent can learn how a process ended, and the parent must outlive the command that started it: a small shell stays.
_RECORD_EXIT = ("/bin/sh", "-c", '"$@"; echo $? >"$0.new"; mv "$0.new" "$0"')


class ProcessLauncher:
    kind: LauncherKind = "host"

    def unavailable(self) -> str | None:
        return None

    def start(self, target_id: str, spec: LaunchSpec, artifact: Artifact, work: Path) -> Target:
        """`work` is the target's directory in the workspace, `targets/TARGET_ID`."""
        chosen, files = ports.take(spec.ports), work / "files"
        slots = _slots.Slots(
            ports=chosen,
            mounts={name: mount.host_path for name, mount in spec.mounts.items()},
            files={name: str(files / name) for name in spec.files},
            work=str(work),
            scratch=str(_scratch.make(work)) if _slots.uses(spec, "scratch") else str(work),
            host=spec.listen,
        )
        _slots.write_files(spec, slots, files)
        command = _command(spec, slots)
        env = process.environment(work.parent.parent, {TARGET: target_id} | {k: slots.fill(v) for k, v in spec.env.items()})
        log, exit_file = work / "log.txt", work / _EXIT_FILE
        exit_file.unlink(missing_ok=True)
        running = process.spawn([*_RECORD_EXIT, str(exit_file), *command], env=env, log=log, cwd=work)
        return Target(
            id=target_id,
            server=spec.server,
            launcher="process",
            artifact_id=spec.artifact_id,
            artifact_path=str(artifact.directory),
            endpoints=_slots.endpoints(spec, chosen),
            threads=spec.threads,
            metrics=_slots.metrics(spec, chosen),
            pid=running.pid,
            pid_started_at=running.create_time(),
            log=str(log),
            command=command,
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def alive(self, target: Target) -> bool:
        return target.pid is not None and process.find(target.pid, target.pid_started_at) is not None

    def exit_reason(self, target: Target) -> str:
        log = Path(target.log)
        try:
            ending = _log.ending(int((log.parent / _EXIT_FILE).read_text()))
        except (FileNotFoundError, ValueError):
            ending = "is running" if self.alive(target) else "ended, and left no exit code (it was stopped, or the machine was)"
        return ending + _log.tail(log)

    def stop(self, target: Target) -> None:
        work = Path(target.log).parent
        self.resume(target)  # a paused process does not hear the polite signal
        if target.pid is not None:
            process.end_tree(target.pid, target.pid_started_at)
        process.end_all(process.owned(work.parent.parent, {TARGET: target.id}))  # what had left the tree, or was started while it ended
        _scratch.remove(work)

    def pause(self, target: Target) -> None:
        for _ in range(_PAUSE_TRIES):  # whoever is not stopped yet can start another one meanwhile
            awake = [one for one in _tree(target) if _awake(one)]
            if not awake:
                return
            for one in awake:
                with contextlib.suppress(psutil.Error):
                    one.suspend()
            time.sleep(_PAUSE_TRY_S)
        raise ServeoffError(f"{target.id} could not be paused: process {awake[0].pid} goes on running")

    def resume(self, target: Target) -> None:
        _resume(_tree(target))

    def asleep(self, target: Target) -> bool:
        return any(_status(one) == psutil.STATUS_STOPPED for one in _tree(target))

    def pin(self, target: Target, cores: Collection[int]) -> None:
        pinned = set[int]()
        while new := {one.pid for one in _tree(target)} - pinned:  # whoever is not pinned yet can start another one meanwhile
            for pid in new:
                try:
                    affinity.pin(pid, cores)
                except OSError as error:
                    raise ServeoffError(f"{target.id} cannot be pinned to cores: process {pid}: {error.strerror}") from error
            pinned |= new

    def processes(self, target: Target) -> list[int] | None:
        return [one.pid for one in _tree(target)]

    def sweep(self, workspace: Path) -> list[str]:
        described = list[str]()
        for _ in range(_SWEEPS):
            if not (left := process.owned(workspace)):
                break
            described += [_describe(p) for p in left]
            _resume(left)
            process.end_all(left)
        for work in (workspace / "targets").glob("*/"):
            _scratch.remove(work)
        return described


def _tree(target: Target) -> list[psutil.Process]:
    """The target's process, its descendants, and whatever left that tree."""
    found = {one.pid: one for one in process.owned(Path(target.log).parent.parent.parent, {TARGET: target.id})}
    root = process.find(target.pid, target.pid_started_at) if target.pid is not None else None
    if root is not None:
        with contextlib.suppress(psutil.Error):
            found |= {one.pid: one for one in (root, *root.children(recursive=True))}
    return list(found.values())


def _awake(one: psutil.Process) -> bool:
    return _status(one) not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


def _status(one: psutil.Process) -> str:
    try:
        return str(one.status())
    except psutil.Error:
        return psutil.STATUS_ZOMBIE


def _resume(processes: list[psutil.Process]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.resume()


def _command(spec: LaunchSpec, slots: _slots.Slots) -> tuple[str, ...]:
    argv = tuple(slots.fill(word) for word in spec.argv)
    if spec.module is not None:
        return process.python(spec.module, *argv)
    if spec.binary is not None:
        return (spec.binary, *argv)
    raise ServeoffError(f"the launch spec of {spec.server} for {spec.artifact_id} names nothing that runs on this host")


def _describe(running: psutil.Process) -> str:
    try:
        words = running.cmdline()
    except psutil.Error:
        words = []
    return f"process {running.pid} ({' '.join(words)[:80]})"


LAUNCHER: Launcher = ProcessLauncher()
