"""One trained and exported workspace for every test that needs real artifacts: made once, never changed (copy it to change it)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from serveoff.workspace import Workspace

# A busy machine must not fail a property, and CI must not find on one day what it did not find on the day before.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def serveoff() -> Command:
    """Run the command line as a user does: `serveoff("export", "--format", "onnx", workspace=...)`."""

    def run(*arguments: str, workspace: Path, timeout_s: float = 560) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "serveoff", *arguments],
            env={**os.environ, "SERVEOFF_WORKSPACE": str(workspace), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    return run


@pytest.fixture(scope="session")
def exported(serveoff: Command, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """digits_cnn, trained for two epochs in both frameworks, in every format. The processes of one test run share it."""
    run = tmp_path_factory.getbasetemp()
    run = run.parent if "PYTEST_XDIST_WORKER" in os.environ else run
    workspace, finished = Workspace(run / "exported"), run / "exported.finished"
    with FileLock(run / "exported.lock"):
        if not finished.exists():
            for arguments in (("train", "--model", "digits_cnn", "--epochs", "2"), ("export", "--model", "digits_cnn", "--jobs", "2")):
                done = serveoff(*arguments, workspace=workspace.root)
                assert done.returncode == 0, done.stderr + done.stdout
            finished.touch()
    return workspace
