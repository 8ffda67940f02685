from __future__ import annotations

from pathlib import Path

from serveoff import skips, storage
from serveoff.contract import Skip, Skips


def skip(what: str, reason: str = "not here") -> Skip:
    return Skip(stage="export", what=what, reason=reason)


def test_a_run_replaces_only_what_it_was_about(tmp_path: Path) -> None:
    path = tmp_path / "skips.json"
    assert skips.update(path, lambda _: True, [skip("a"), skip("b"), skip("c")]) == (skip("a"), skip("b"), skip("c"))
    after = skips.update(path, lambda s: s.what in ("b", "c"), [skip("c", "it failed")])
    assert after == (skip("a"), skip("c", "it failed"))
    assert storage.read(path, Skips).skips == after
