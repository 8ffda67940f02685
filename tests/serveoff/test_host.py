from __future__ import annotations

import os
from pathlib import Path

import pytest

from serveoff import host, process


def test_the_cores_are_those_of_our_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert host.cores(tmp_path) == 6


@pytest.mark.parametrize(
    ("text", "wanted"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 6), ("900000 100000", 6)]
)
def test_a_containers_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, wanted: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(host, "_own_group", lambda: "docker/ours")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "cpu.max").write_text(text + "\n")
    assert host.cores(tmp_path) == wanted


def test_the_facts_hold_the_usable_cores() -> None:
    assert host.facts().logical_cores == host.cores()


def test_children_see_no_gpu_unless_the_user_named_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert process.environment(tmp_path)["CUDA_VISIBLE_DEVICES"] == "-1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert process.environment(tmp_path)["CUDA_VISIBLE_DEVICES"] == "1"


def test_our_own_group_lies_below_the_root() -> None:
    assert not host._own_group().startswith("/")
