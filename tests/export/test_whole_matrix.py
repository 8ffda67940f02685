"""Every format in every precision of a model, at small size: all of it was seen to work, and has to; and float32 through the wire."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export.export import matrix
from serveoff import artifacts, process
from serveoff.registry import MODELS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

SMALL = ("digits_cnn", "mobilenet_v2@64", "ncf@8", "resnet50@32")


@pytest.mark.parametrize("model", SMALL)
def test_every_cell_is_verified(serveoff: Command, tmp_path: Path, model: str) -> None:
    workspace = Workspace(tmp_path)
    cells = list(matrix(Selection(models=(model,), formats=("all",)), workspace))
    done = serveoff("export", "--model", model, "--format", "all", "--jobs", "2", "--json", workspace=tmp_path, timeout_s=1800)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    reasons = {o["id"]: o["reason"] for o in told["exports"]} | {s["what"]: s["reason"] for s in told["skips"]}
    assert reasons.keys() == {cell.id for cell in cells}, "a row for every cell"
    assert {cell: reason for cell, reason in reasons.items() if reason} == {}
    assert all(o["manifest"]["facts"]["reason"] == "" for o in told["exports"] if o["manifest"])
    spec = MODELS.load(model)
    for artifact in artifacts.find(workspace, Selection()):
        assert artifact.manifest.inputs == spec.inputs
        assert (artifact.manifest.parity.metric is None) == (spec.dataset is None), "without labels nobody knows what would be right"
    try:
        done = serveoff("serve", "--precision", "float32", "--server", "embedded", "--json", workspace=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        targets = json.loads(done.stdout)["targets"]
        assert len(targets) == sum(cell.precision == "float32" for cell in cells)
        assert all(not t["error"] and len(t["target"]["endpoints"]) == 2 for t in targets), "REST and gRPC, each checked"
    finally:
        process.end_all(process.owned(tmp_path), grace_s=0)
