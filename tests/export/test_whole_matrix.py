"""Every format in every precision of a model, at small size: all of it was seen to work, and has to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.export import matrix
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

MODELS = ("digits_cnn", "mobilenet_v2@64", "ncf@8", "resnet50@32")


@pytest.mark.parametrize("model", MODELS)
def test_every_cell_is_verified(tmp_path: Path, model: str) -> None:
    workspace = Workspace(tmp_path)
    wanted = {cell.id for cell in matrix(Selection(models=(model,), formats=("all",)), workspace)}
    done = subprocess.run(
        [sys.executable, "-m", "serveoff", "export", "--model", model, "--format", "all", "--jobs", "2", "--json"],
        env={**os.environ, "SERVEOFF_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    reasons = {o["id"]: o["reason"] for o in told["exports"]} | {s["what"]: s["reason"] for s in told["skips"]}
    assert reasons.keys() == wanted, "a row for every cell"
    assert {cell: reason for cell, reason in reasons.items() if reason} == {}
    assert all(o["manifest"]["facts"]["reason"] == "" for o in told["exports"] if o["manifest"])
