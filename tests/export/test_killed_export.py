"""`kill -9` of an export, at moments that nobody chose."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serveoff import artifacts, process
from serveoff.artifacts import MANIFEST
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FLOAT32 = "digits_cnn.pytorch.onnx.float32"
QUICK = ("--framework", "pytorch", "--format", "onnx", "--precision", "int8", "--precision", "int8_dynamic")
"""Two that begin with the float32 file, without a framework: most of the moments are not those of an import."""


def export(workspace: Workspace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "serveoff", "export", *QUICK, "--force", "--jobs", "2"],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(workspace.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_no_moment_leaves_half_an_artifact(exported: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    shutil.copytree(exported.root / "checkpoints", workspace.root / "checkpoints")
    shutil.copytree(exported.artifacts / FLOAT32, workspace.artifacts / FLOAT32)
    started = time.monotonic()
    assert export(workspace).wait() == 0
    longest_s = time.monotonic() - started
    moments = random.Random(0)
    for _ in range(20):
        command = export(workspace)
        time.sleep(moments.uniform(0, longest_s * 1.1))
        command.send_signal(signal.SIGKILL)
        command.wait()
        process.end_all(process.owned(workspace.root), grace_s=0)  # the children are dying already
        for path in workspace.artifacts.glob(f"*/{MANIFEST}"):
            if not path.parent.name.startswith("."):
                artifacts.verify(artifacts.read(path.parent))
        for found in artifacts.find(workspace, Selection()):
            artifacts.verify(found)
    assert export(workspace).wait() == 0, "what was left does not stand in the way"
    assert len(artifacts.find(workspace, Selection())) == 3
    assert not list(workspace.artifacts.glob(".*"))
