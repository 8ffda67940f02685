from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from serveoff import process

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it never happened")


def test_run_child_keeps_the_output_and_the_exit_code(tmp_path: Path) -> None:
    seen: list[str] = []
    result = process.run_child(
        (sys.executable, "-c", "import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)"),
        env=process.environment(tmp_path),
        log=tmp_path / "log.txt",
        timeout_s=60,
        on_line=seen.append,
    )
    assert (result.exit_code, result.ok, result.timed_out) == (7, False, False)
    assert sorted(seen) == ["one", "two"]
    assert sorted((tmp_path / "log.txt").read_text().split()) == ["one", "two"]


def test_ctrl_c_does_not_reach_a_child(tmp_path: Path) -> None:
    """A terminal sends it to the whole foreground group. We end the child ourselves: a framework may make anything of it."""
    code = "import os; print(os.getpgrp() == os.getpid())"
    result = process.run_child((sys.executable, "-c", code), env=process.environment(tmp_path), log=tmp_path / "log", timeout_s=60)
    assert result.tail == "True"


def test_run_child_ends_what_holds_too_much_memory(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'held = bytearray(300_000_000); import time; time.sleep(600)'])"
    result = process.run_child(
        (sys.executable, "-c", code),
        env=process.environment(tmp_path),
        log=tmp_path / "log",
        timeout_s=600,
        memory_bytes=200_000_000,
    )
    assert result.ended_for == "memory"
    assert not result.ok


def test_run_child_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    code = "import time; time.sleep(600)"
    result = process.run_child(
        (sys.executable, "-c", code), env=process.environment(tmp_path), log=tmp_path / "log", timeout_s=600, cancelled=cancelled
    )
    assert result.ended_for == "cancelled"


def test_run_child_ends_the_whole_tree_at_the_time_limit(tmp_path: Path) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen({SLEEP!r}).pid, flush=True); import time; time.sleep(600)"
    seen: list[str] = []
    result = process.run_child(
        (sys.executable, "-c", code), env=process.environment(tmp_path), log=tmp_path / "log", timeout_s=2, on_line=seen.append
    )
    assert result.timed_out
    assert not result.ok
    wait_until(lambda: process.find(int(seen[0]), None) is None)


def test_a_grandchild_that_keeps_the_pipe_does_not_keep_us(tmp_path: Path) -> None:
    code = f"import subprocess; subprocess.Popen({SLEEP!r}); print('done')"
    result = process.run_child((sys.executable, "-c", code), env=process.environment(tmp_path), log=tmp_path / "log", timeout_s=600)
    assert (result.ok, result.tail) == (True, "done")
    assert process.end_all(process.owned(tmp_path)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's; elsewhere `serveoff stop` ends orphans")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from serveoff import process; w = Path(sys.argv[1]);"
        f"process.run_child({SLEEP!r}, env=process.environment(w), log=w / 'log', timeout_s=600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    wait_until(lambda: any("time.sleep" in " ".join(p.cmdline()) for p in process.owned(tmp_path)))
    (child,) = process.owned(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_what_we_spawn_is_found_by_its_mark_and_ended(tmp_path: Path) -> None:
    other = tmp_path / "other"
    mine = process.spawn(SLEEP, env=process.environment(tmp_path), log=tmp_path / "log", cwd=tmp_path)
    theirs = process.spawn(SLEEP, env=process.environment(other), log=tmp_path / "log", cwd=tmp_path)
    try:
        assert [p.pid for p in process.owned(tmp_path)] == [mine.pid]
        assert process.end_all(process.owned(tmp_path)) == 1
        assert process.find(mine.pid, None) is None
        assert process.find(theirs.pid, None) is not None
    finally:
        process.end_tree(theirs.pid, grace_s=0)


def test_a_reused_pid_is_not_ours() -> None:
    me = psutil.Process()
    assert process.find(me.pid, me.create_time()) is not None
    assert process.find(me.pid, me.create_time() - 100) is None


def test_what_outlives_us_warns_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from serveoff import process; here = Path(sys.argv[1])\n"
        "process.spawn((sys.executable, '-c', 'import time; time.sleep(600)'), env=process.environment(here), log=here / 'log', cwd=here)"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert process.end_all(process.owned(tmp_path), grace_s=0) == 1, "and it does outlive us"


def test_a_process_is_found_while_it_becomes_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment it then has no environment (Linux: its new memory is there, and nothing is in it yet)."""
    environ, asked = psutil.Process.environ, set[int]()

    def at_first_none(self: psutil.Process) -> dict[str, str]:
        if self.pid in asked:
            return environ(self)
        asked.add(self.pid)
        return {}

    mine = process.spawn(SLEEP, env=process.environment(tmp_path), log=tmp_path / "log", cwd=tmp_path)
    monkeypatch.setattr(psutil.Process, "environ", at_first_none)
    try:
        assert [p.pid for p in process.owned(tmp_path)] == [mine.pid]
    finally:
        process.end_all([mine], grace_s=0)
