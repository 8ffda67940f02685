from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export import export as export_stage
from serveoff import running
from serveoff.console import Console
from serveoff.errors import UsageError
from serveoff.workspace import Workspace

AT_WORK = """
import sys
from pathlib import Path
from serveoff.running import at_work
from serveoff.workspace import Workspace
with at_work(Workspace(Path(sys.argv[1])), sys.argv[2]):
    print("at work", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(workspace: Workspace, command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is at work until its input ends."""
    argv = (sys.executable, "-c", AT_WORK, str(workspace.root), command)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "at work\n"
        try:
            yield other
        finally:
            other.kill()


def test_two_of_the_same_command_do_not_run_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with another(workspace, "loadtest") as other:
        with pytest.raises(UsageError, match=f"process {other.pid}"), running.at_work(workspace, "loadtest"):
            pass
        assert [worker.pid for _, worker in running.workers(workspace)] == [other.pid], "who was refused removed no record"
        other.kill()
        other.wait()
        with running.at_work(workspace, "loadtest"):  # it is dead: its place is free
            ((path, mine),) = running.workers(workspace)
            assert mine.pid == os.getpid()
        assert not path.exists()


def test_a_record_that_says_nothing_yet_does_not_free_the_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with another(workspace, "serve"):
        (workspace.running / "serve.json").write_text("")
        assert running.workers(workspace) == []
        with pytest.raises(UsageError, match=r"is at work here$"), running.at_work(workspace, "serve"):
            pass


def test_a_damaged_record_stands_in_nobodys_way(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.running.mkdir()
    (workspace.running / "serve.json").write_text('{"schema": 1, "comm')
    assert running.workers(workspace) == []
    with running.at_work(workspace, "serve"):
        assert [worker.command for _, worker in running.workers(workspace)] == ["serve"]


def test_a_place_that_was_left_between_opening_and_locking_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, lock, removed = Workspace(tmp_path), fcntl.flock, list[str]()

    def remove_first(file: int, how: int) -> None:
        if not removed:
            removed.append("once")
            (workspace.running / "serve.json").unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with running.at_work(workspace, "serve"):
        assert len(running.workers(workspace)) == 1, "the record on disk is the one that is locked"


def test_an_export_that_trains_takes_the_place_of_train(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with another(workspace, "train") as other, pytest.raises(UsageError, match=f"serveoff train` is at work here .process {other.pid}"):
        export_stage._ensure_checkpoint("digits_cnn", workspace, Console(quiet=True))
