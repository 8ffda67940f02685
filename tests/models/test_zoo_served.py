"""What the whole matrix leaves out, in every default format and over the wire: several inputs and outputs, int64, at small size."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serveoff import artifacts, process, storage
from serveoff.registry import FORMATS, MODELS
from serveoff.results import RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ("alexnet@63", "bert_tiny@16", "gnmt_v2@32", "vgg19@32")
"""The others go through all formats: tests/export/test_whole_matrix.py, two of them at full size."""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    yield Workspace(tmp_path)
    process.end_all(process.owned(tmp_path), grace_s=0)


@pytest.mark.parametrize("name", SMALL)
def test_every_default_format_is_right_in_the_file_and_through_the_wire(
    serveoff: Callable[..., subprocess.CompletedProcess[str]], workspace: Workspace, name: str
) -> None:
    done = serveoff("export", "--model", name, "--no-facts", "--jobs", "2", workspace=workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    found = artifacts.find(workspace, Selection(models=(name,)))
    wanted = {
        (format_name, framework) for format_name, kind in FORMATS.all().items() for framework, made in kind.sources.items() if made.default
    }
    assert {(a.manifest.format, a.manifest.framework) for a in found} == wanted
    for artifact in found:
        assert artifact.manifest.parity.metric is None, "nobody knows what would be right"
        assert artifact.manifest.inputs == MODELS.load(name).inputs
    done = serveoff("serve", "--model", name, "--server", "embedded", "--json", workspace=workspace.root)
    assert done.returncode == 0, done.stdout + done.stderr
    targets = json.loads(done.stdout)["targets"]
    assert len(targets) == len(wanted)
    assert all(not t["error"] and len(t["target"]["endpoints"]) == 2 for t in targets), "REST and gRPC, each checked"


def test_ids_and_masks_through_the_load_and_into_the_report(
    serveoff: Callable[..., subprocess.CompletedProcess[str]], workspace: Workspace
) -> None:
    name = "bert_tiny@16"
    for command in (
        ("export", "--model", name, "--format", "torchscript", "--format", "savedmodel"),
        ("serve", "--model", name, "--server", "embedded", "--launcher", "process"),
        ("loadtest", "--profile", "closed:users=2,duration_s=1", "--warmup-s", "0.2", "--warmup-limit-s", "0.2"),
    ):
        done = serveoff(*command, workspace=workspace.root)
        assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = workspace.runs.iterdir()
    result = storage.read(folder / "run.json", RunResult)
    assert {(c.manifest.format, c.protocol) for c in result.cells} == {
        (made, protocol) for made in ("torchscript", "savedmodel") for protocol in ("tfs_rest", "tfs_grpc")
    }
    sizes: dict[str, set[int]] = {}
    for cell in result.cells:
        assert cell.live_check.passed
        assert not cell.wrong
        assert cell.measurement is not None
        sizes.setdefault(cell.protocol, set()).add(cell.payload_bytes)
    assert all(len(found) == 1 for found in sizes.values()), "the same bytes for both formats"
    assert min(sizes["tfs_grpc"]) > 2 * 16, "two inputs of 16 tokens each"
    (proof,) = result.twins
    assert proof.parity is not None
    assert proof.parity.passed
    text = (folder / "report.md").read_text()
    assert "drawn and not trained" in text, "nobody may take its answers for a trained model's"
    assert "not gated" in text, "there are no labels"
