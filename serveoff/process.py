"""Child processes: run to the end with a log and a time limit, or start detached; and end whole process trees.

Everything we start carries `SERVEOFF_OWNER=<workspace>` in its environment, so that it is found again after any crash.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import psutil

OWNER = "SERVEOFF_OWNER"
EndedFor = Literal["", "time", "memory", "cancelled"]
_GUARD = str(Path(__file__).with_name("guard.py"))
_TAIL_LINES = 20
_LAST_WORDS_S = 2.0
_LOOK_S = 0.1
_WEIGH_S = 0.5
"""How often a child's memory is looked at: all processes have to be, to find its own children, which takes some milliseconds."""
_EXEC_S = (0.0, 0.02, 0.1)
"""A process that is just becoming another program has no environment for a moment; it is asked again after these."""
_NOBODYS_CHILDREN = (0, 2)
"""Of the kernel's own threads, which never have an environment."""


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a child ended. `exit_code` is negative for a signal; `tail` is the end of its output; `ended_for`: why we ended it."""

    exit_code: int
    seconds: float
    ended_for: EndedFor
    tail: str

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.ended_for

    @property
    def timed_out(self) -> bool:
        return self.ended_for == "time"


def environment(workspace: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment, with the owner's mark and `extra`. No GPU unless the user named one: all formats are compared on the CPU."""
    return {"CUDA_VISIBLE_DEVICES": "-1", **os.environ, OWNER: str(workspace), "PYTHONUNBUFFERED": "1", **(extra or {})}


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a stage's module, such as `export.worker`, with our interpreter: ours, whatever PYTHONPATH holds.

    `-P` keeps the current directory off the import path.
    """
    return (sys.executable, "-P", "-m", "serveoff.child", module, *arguments)


def run_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    timeout_s: float,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    memory_bytes: int | None = None,
    cancelled: threading.Event | None = None,
) -> ChildResult:
    """Run `argv` to its end; it dies with us. Output goes to `log`, line by line also to `on_line` (called from another thread).

    A terminal's Ctrl-C reaches us alone: in the child it could fall into an import, and end it in whatever way a library makes of that.
    It is ended after `timeout_s`, when it holds more than `memory_bytes` together with its own children, and when `cancelled` is set.
    """
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        [sys.executable, "-I", _GUARD, str(os.getpid()), *argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    assert child.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    reader = threading.Thread(target=_copy, args=(child.stdout, log, tail, on_line), daemon=True)
    reader.start()
    try:
        ended_for = _watch(child, timeout_s, memory_bytes, cancelled)
    except BaseException:
        end_tree(child.pid, grace_s=2)
        child.wait()
        raise
    reader.join(_LAST_WORDS_S)  # not for ever: a grandchild that outlives the child may hold the pipe open
    return ChildResult(child.returncode, time.monotonic() - started, ended_for, "\n".join(tail))


def _watch(child: subprocess.Popen[str], timeout_s: float, memory_bytes: int | None, cancelled: threading.Event | None) -> EndedFor:
    """Wait for the child; end it when it must not go on. A limit of the kernel's (RLIMIT_AS) counts what a framework only reserves."""
    deadline = time.monotonic() + timeout_s
    weigh_at = 0.0
    while True:
        left = max(deadline - time.monotonic(), 0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(left if memory_bytes is None and cancelled is None else min(left, _LOOK_S))
            return ""
        ended_for: EndedFor = ""
        if cancelled is not None and cancelled.is_set():
            ended_for = "cancelled"
        elif time.monotonic() >= deadline:
            ended_for = "time"
        elif memory_bytes is not None and time.monotonic() >= weigh_at:
            ended_for = "memory" if _resident(child.pid) > memory_bytes else ""
            weigh_at = time.monotonic() + _WEIGH_S
        if ended_for:
            end_tree(child.pid, grace_s=0)
            child.wait()
            return ended_for


def _resident(pid: int) -> int:
    """Bytes of memory that the process and its descendants hold."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += each.memory_info().rss
    return total


def attached(argv: Sequence[str], *, env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start `argv`; it dies with us. Its output goes to `log`, and it inherits the files `pass_fds`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        return subprocess.Popen(
            [sys.executable, "-I", _GUARD, str(os.getpid()), *argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
        )


def _copy(output: IO[str], log: Path, tail: deque[str], on_line: Callable[[str], None] | None) -> None:
    with output, log.open("w", encoding="utf-8", buffering=1) as sink:
        for line in output:
            sink.write(line)
            tail.append(line.rstrip())
            if on_line is not None:
                on_line(line.rstrip())


def spawn(argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> psutil.Process:
    """Start `argv` in a session of its own; it outlives us. Its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        child = subprocess.Popen(
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    child.returncode = 0  # it is not ours to wait for, and a Popen that is dropped while it waits for a running process warns
    return psutil.Process(child.pid)


def find(pid: int, started_at: float | None) -> psutil.Process | None:
    """The process with this pid, unless it has ended or the pid has been taken by another one since."""
    try:
        process = psutil.Process(pid)
        if started_at is not None and abs(process.create_time() - started_at) > 1:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def end_tree(pid: int, started_at: float | None = None, grace_s: float = 10) -> int:
    """TERM, wait `grace_s`, KILL: the process and all its descendants. Returns how many there were."""
    process = find(pid, started_at)
    if process is None:
        return 0
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return end_all(tree, grace_s)


def end_all(processes: Sequence[psutil.Process], grace_s: float = 10) -> int:
    """End these processes: first the polite way, where `grace_s` is more than 0."""
    alive = list(processes)
    if grace_s > 0:
        for process in alive:
            _quietly(process.terminate)
        alive = _outlasting(alive, grace_s)
    for process in alive:
        _quietly(process.kill)
    _outlasting(alive, 5)
    return len(processes)


def _outlasting(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those of `processes` that have not ended within `timeout_s`. An orphan that its new parent has yet to collect has ended."""
    deadline = time.monotonic() + timeout_s
    alive = list(processes)
    while (alive := [process for process in alive if not _ended(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _ended(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return False
        process.wait(0)  # collects a child of ours
    return True


def owned(workspace: Path, marks: Mapping[str, str] | None = None) -> list[psutil.Process]:
    """Every process that carries this workspace's mark, and `marks`, in its environment; ourselves and our ancestors excepted."""
    wanted = {OWNER: str(workspace), **(marks or {})}
    me = psutil.Process()
    excepted = {me.pid, *(p.pid for p in me.parents())}
    found, asked = list[psutil.Process](), [process for process in psutil.process_iter() if process.pid not in excepted]
    for pause_s in _EXEC_S:
        if not asked:
            break
        time.sleep(pause_s)
        blank = []
        for process in asked:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                carried = process.environ()
                if wanted.items() <= carried.items():
                    found.append(process)
                elif not carried and process.ppid() not in _NOBODYS_CHILDREN:
                    blank.append(process)
        asked = blank
    return found


def _quietly(signal: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        signal()
