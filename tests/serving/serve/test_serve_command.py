"""`serveoff serve` as a user runs it, with a `tensorflow_model_server` that starts for ever, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serveoff import process
from serveoff.plugins import Artifact
from serveoff.workspace import Workspace

MakeArtifact = Callable[..., Artifact]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
SERVE = ("serve", "--server", "tfserving", "--launcher", "process", "--threads", "1")


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the program of TF Serving out of a line of shell."""

    def make(line: str) -> None:
        program = tmp_path / "tensorflow_model_server"
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setenv("SERVEOFF_TENSORFLOW_MODEL_SERVER", str(program))

    return make


def test_ctrl_c_while_a_server_starts_leaves_nothing(
    serveoff: Command, workspace: Workspace, make_artifact: MakeArtifact, pretend: Callable[[str], None]
) -> None:
    make_artifact("double", "savedmodel")
    pretend("echo loading; exec sleep 600")
    directory = workspace.targets / "double.pytorch.savedmodel.float32@tfserving.process"
    environment = {**os.environ, "SERVEOFF_WORKSPACE": str(workspace.root)}
    command = [sys.executable, "-m", "serveoff", *SERVE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            for _ in range(1000):
                if (directory / "target.json").exists() or child.poll() is not None:
                    break
                time.sleep(0.05)
            shown = serveoff("status", workspace=workspace.root)
            child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert "starting" in shown.stdout
    assert "running" not in shown.stdout
    assert child.returncode == 130
    assert "interrupted" in errors.splitlines()[0]
    assert len(errors.splitlines()) <= 2, "one sentence, and a hint"
    assert process.owned(workspace.root) == []
    assert not (directory / "target.json").exists()
    assert list(workspace.running.glob("*.json")) == []


def test_a_server_that_does_not_get_ready_is_exit_4_with_its_last_words(
    serveoff: Command, workspace: Workspace, make_artifact: MakeArtifact, pretend: Callable[[str], None]
) -> None:
    make_artifact("double", "savedmodel")
    pretend("echo 'the model does not fit: 7 tensors of 9'; exit 1")
    done = serveoff(*SERVE, workspace=workspace.root)
    assert done.returncode == 4
    assert "error: double.pytorch.savedmodel.float32@tfserving.process exited with code 1" in done.stderr
    assert "the model does not fit: 7 tensors of 9" in done.stderr
    assert "hint: its whole log is " in done.stderr
    assert "Traceback" not in done.stderr
    assert process.owned(workspace.root) == []
    assert list(workspace.targets.glob("*/target.json")) == []
