"""The floor of real artifacts, one process each, and what becomes of one that cannot be called."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtests import floor
from loadtests.floor import Subject
from serveoff import affinity, artifacts, process
from serveoff.selection import Selection
from serveoff.workspace import Workspace

pytestmark = pytest.mark.integration


def test_an_artifact_in_its_own_runtime(exported: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "_CALLS_S", 0.1)
    wanted = [Subject(a, 1) for a in artifacts.find(exported, Selection(formats=("onnx", "tflite")))]
    cores = affinity.usable()[:1] if affinity.supported() else None
    found = list(floor.measure(wanted, tmp_path, tmp_path / "floor", cores))
    assert [f.artifact_id for f in found] == [s.artifact.manifest.id for s in wanted]
    for one in found:
        assert one.reason == ""
        assert one.calls > 20
        assert 0 < one.p50_us <= one.p99_us
        assert (one.threads, one.batch) == (1, 1)
    assert process.owned(tmp_path) == []


def test_one_that_fails_says_why_and_the_next_is_measured(exported: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "_CALLS_S", 0.1)
    (good,) = artifacts.find(exported, Selection(formats=("onnx",)))
    broken: Any = SimpleNamespace(manifest=good.manifest, version_dir=tmp_path, reference_file=good.reference_file)
    (tmp_path / good.manifest.serve_file).write_bytes(b"no model")
    gone: Any = SimpleNamespace(manifest=good.manifest, version_dir=tmp_path / "gone", reference_file=good.reference_file)
    found = list(floor.measure([Subject(one, 1) for one in (broken, gone, good)], tmp_path, tmp_path / "floor", None))
    assert found[0].reason.startswith("its runtime failed: ")
    assert "it said nothing" not in found[0].reason
    assert found[1].reason == "there is no runtime for model.onnx here, or the artifact is gone"
    assert [bool(f.calls) for f in found] == [False, False, True]


def test_each_artifact_once_for_each_number_of_threads() -> None:
    def candidate(artifact: str, threads: int) -> Any:
        return SimpleNamespace(
            artifact=SimpleNamespace(manifest=SimpleNamespace(id=artifact, fixed_batch=None)), target=SimpleNamespace(threads=threads)
        )

    found = floor.subjects([candidate("b", 1), candidate("a", 2), candidate("b", 1), candidate("a", 1)])
    assert [(s.artifact.manifest.id, s.threads, s.batch) for s in found] == [("a", 1, 1), ("a", 2, 1), ("b", 1, 1)]
