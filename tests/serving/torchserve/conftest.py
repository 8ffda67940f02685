from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from serveoff.workspace import Workspace

with warnings.catch_warnings():  # importing TorchServe leaves its version file open
    warnings.simplefilter("ignore", ResourceWarning)
    import ts.context  # noqa: F401


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the artifacts of `small_models.py`. Never changed."""
    root = tmp_path_factory.mktemp("small")
    script = Path(__file__).with_name("small_models.py")
    done = subprocess.run([sys.executable, "-P", str(script), str(root)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def served(small_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of it, to serve from."""
    root = tmp_path_factory.mktemp("served") / "workspace"
    shutil.copytree(small_models, root)
    return Workspace(root)
