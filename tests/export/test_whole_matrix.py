"""Every format in every precision of a model: what was seen to work has to; what does not gives the reason that is known.

At small size float32 is served, too; two models are of full size.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.matrix import matrix, without
from serveoff import artifacts, process
from serveoff.registry import MODELS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

EXPECTED = tomllib.loads(Path(__file__).with_name("expected_cells.toml").read_text())
SMALL = ("digits_cnn", "ncf@8")
FULL = ("mobilenet_v2", "resnet50")
"""Of the others the slow suite makes the default formats, tests/models/test_zoo_served.py: all of theirs take half an hour more."""
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def cells(model: str, workspace: Path, precisions: tuple[str, ...] = ()) -> dict[str, str]:
    """All of the model's cells of these precisions, or of all; where a converter's own environment is not here, what the cell says."""
    made = matrix(Selection(models=(model,), formats=("all",), precisions=precisions), Workspace(workspace))
    return {cell.id.removeprefix(f"{model}."): cell.source.missing() if cell.source.environment else "" for cell in made}


def lacking(model: str, workspace: Path, precisions: tuple[str, ...]) -> dict[str, str]:
    """What no model has, and why."""
    selection = Selection(models=(model,), formats=("all",), precisions=precisions)
    return {skip.what: skip.reason for skip in without(selection, Workspace(workspace))}


def unexpected(model: str, reasons: dict[str, str]) -> dict[str, str]:
    """The cells that failed (`reasons`: by cell, empty where it was verified) without being an exception, or for another reason."""
    known = [(one["cell"], one["reason"]) for one in EXPECTED["exceptions"] if one["model"] == model.partition("@")[0]]
    return {cell: reason for cell, reason in reasons.items() if reason and not any(cell == c and why in reason for c, why in known)}


def test_every_model_has_every_cell_that_is_known_to_work(tmp_path: Path) -> None:
    for model in MODELS.names:
        assert set(EXPECTED["works"]) <= cells(model, tmp_path).keys()


def test_an_exception_counts_for_its_own_model_and_reason_only() -> None:
    known = EXPECTED["exceptions"][0]
    cell, wrong = known["cell"], f"samples, batch 8, output words: 3 of 8 {known['reason']} 0.0001"
    assert unexpected(f"{known['model']}@32", {cell: wrong, "keras.savedmodel.float32": ""}) == {}
    assert unexpected("resnet50@32", {cell: wrong}) == {cell: wrong}
    assert unexpected(known["model"], {cell: "it took too long"}) == {cell: "it took too long"}
    assert unexpected(known["model"], {"keras.savedmodel.float32": wrong}) == {"keras.savedmodel.float32": wrong}


def export_all(serveoff: Command, model: str, workspace: Path, *options: str, precisions: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The manifests of all cells; each was verified, or is an exception that is known."""
    chosen = [f"--precision={name}" for name in precisions]
    done = serveoff("export", "--model", model, "--format", "all", *chosen, *options, "--json", workspace=workspace, timeout_s=1800)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    reasons = {o["id"]: o["reason"] for o in told["exports"]} | {s["what"]: s["reason"] for s in told["skips"]}
    reasons = {cell.removeprefix(f"{model}."): reason for cell, reason in reasons.items()}
    wanted = cells(model, workspace, precisions) | lacking(model, workspace, precisions)
    assert reasons.keys() == wanted.keys(), "a row for every cell"
    assert unexpected(model, {cell: reason for cell, reason in reasons.items() if reason != wanted[cell]}) == {}
    made = [o["manifest"] for o in told["exports"] if o["manifest"]]
    require_the_weights_to_be_what_they_are_called(made)
    return made


SMALLER = {"float16": 0.6, "bfloat16": 0.65, "int8": 0.55, "int8_dynamic": 0.55}
"""The share of its float32 file that one of these may have: a row of an embedding has a scale of 12 bytes beside its 16 weights."""
LARGE_BYTES = 10e6


def require_the_weights_to_be_what_they_are_called(made: list[dict[str, Any]]) -> None:
    """No comparison would tell: an artifact in float32 that is called int8 is the most exact of all. Of large models, which are weights."""
    sizes = {(one["framework"], one["format"], one["precision"]): weights_bytes(one) for one in made}
    whole = {(f, name): size for (f, name, precision), size in sizes.items() if precision == "float32" and size > LARGE_BYTES}
    shares = {cell: size / whole[cell[:2]] for cell, size in sizes.items() if cell[2] != "float32" and cell[:2] in whole}
    assert {cell: share for cell, share in shares.items() if share > SMALLER[cell[2]]} == {}


def weights_bytes(manifest: dict[str, Any]) -> int:
    """The size of all that is served but the warm-up requests."""
    return sum(
        file["size_bytes"] for file in manifest["files"] if file["path"].startswith("serve/") and "/assets.extra/" not in file["path"]
    )


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("model", SMALL)
def test_small(serveoff: Command, tmp_path: Path, model: str) -> None:
    spec = MODELS.load(model)
    made = export_all(serveoff, model, tmp_path, "--jobs", "2", "--facts" if spec.default else "--no-facts")
    assert [one["facts"] and one["facts"]["reason"] for one in made] == ["" if spec.default else None] * len(made)
    for artifact in artifacts.find(Workspace(tmp_path), Selection()):
        assert artifact.manifest.inputs == spec.inputs
        assert (artifact.manifest.parity.metric is None) == (spec.dataset is None), "without labels nobody knows what would be right"
    try:
        done = serveoff("serve", "--precision", "float32", "--server", "embedded", "--json", workspace=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        targets = json.loads(done.stdout)["targets"]
        assert len(targets) == sum(one["precision"] == "float32" for one in made)
        assert all(not t["error"] and len(t["target"]["endpoints"]) == 2 for t in targets), "REST and gRPC, each checked"
    finally:
        process.end_all(process.owned(tmp_path), grace_s=0)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("model", FULL)
def test_full_size(serveoff: Command, tmp_path: Path, model: str) -> None:
    assert export_all(serveoff, model, tmp_path, "--no-facts", precisions=("float32", "float16", "int8", "int8_dynamic"))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("model", FULL)
def test_full_size_in_bfloat16(serveoff: Command, tmp_path: Path, model: str) -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    if not flags & {"avx512_bf16", "amx_bf16"}:
        pytest.skip("this processor has no bfloat16: each row takes PyTorch a second, and a model ten minutes and more instead of one")
    assert export_all(serveoff, model, tmp_path, "--no-facts", precisions=("bfloat16",))
