"""Ctrl-C in a real `train` and a real `export`: as from a terminal, to the command and its child alike."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from serveoff import artifacts, process, running
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration


def interrupt(workspace: Workspace, until: Callable[[], bool], *arguments: str) -> str:
    """Start the command, wait, and interrupt it. What it said on standard error."""
    command = subprocess.Popen(
        [sys.executable, "-m", "serveoff", "--quiet", *arguments],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not until():
        assert command.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)
    os.killpg(command.pid, signal.SIGINT)
    _, said = command.communicate(timeout=120)
    assert command.returncode == 130, said
    assert process.owned(workspace.root) == []
    assert running.workers(workspace) == []
    return said


def at_work(workspace: Workspace, module: str) -> bool:
    for found in process.owned(workspace.root):
        with contextlib.suppress(psutil.NoSuchProcess):
            if {module, "serveoff.child"} <= set(found.cmdline()):
                return True
    return False


def test_an_interrupted_training_leaves_no_process_and_no_checkpoint(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    said = interrupt(workspace, lambda: at_work(workspace, "models.worker"), "train")
    assert said.splitlines() == ["error: interrupted", "hint: what was finished is kept"]
    assert not (workspace.checkpoint("digits_cnn") / "twin.json").exists()


def test_an_interrupted_export_leaves_no_process_and_no_half_made_artifact(exported: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    shutil.copytree(exported.root / "checkpoints", workspace.root / "checkpoints")
    kept = "digits_cnn.pytorch.onnx.float32"
    shutil.copytree(exported.artifacts / kept, workspace.artifacts / kept)
    said = interrupt(workspace, lambda: at_work(workspace, "export.worker"), "export", "--format", "savedmodel", "--format", "onnx")
    assert said.splitlines() == ["error: interrupted", "hint: what was finished is kept"]
    there = {path.name for path in workspace.artifacts.iterdir() if not path.name.startswith(".")}
    assert kept in there
    assert not there >= {"digits_cnn.keras.onnx.float32", "digits_cnn.keras.savedmodel.float32"}, "it was interrupted"
    for name in there:  # no export that was interrupted counts as one that failed: a busy machine may finish one, though
        artifacts.verify(artifacts.read(workspace.artifacts / name))


def test_ctrl_c_while_a_child_starts_leaves_the_old_artifact_as_it_was(exported: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    shutil.copytree(exported.root / "checkpoints", workspace.root / "checkpoints")
    kept = "digits_cnn.pytorch.onnx.float32"
    shutil.copytree(exported.artifacts / kept, workspace.artifacts / kept)
    before = artifacts.read(workspace.artifacts / kept).manifest
    interrupt(workspace, lambda: at_work(workspace, "export.worker"), "export", "--force", "--framework", "pytorch", "--format", "onnx")
    assert artifacts.read(workspace.artifacts / kept).manifest == before
    assert not (workspace.artifacts / kept / "failure.json").exists()
