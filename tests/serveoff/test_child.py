from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from serveoff import process

STAGES = ("export", "loadtests", "models", "serving")


@pytest.mark.parametrize(
    ("module", "says"), [("models.worker", "--first"), ("export.worker", "--checkpoint"), ("serving.embedded", "--model_base_path")]
)
def test_a_child_runs_our_stage_whatever_pythonpath_holds(tmp_path: Path, module: str, says: str) -> None:
    for stage in STAGES:
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "__init__.py").write_text("raise SystemExit('the stranger was imported')")
    child = subprocess.run(
        [*process.python(module, "--help")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert says in child.stdout
