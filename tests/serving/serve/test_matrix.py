"""Which launcher a server gets, and what is skipped with which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from serveoff.contract import Skip
from serveoff.launch import LauncherKind
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serving import matrix

MakeArtifact = Callable[..., Artifact]


@dataclass
class Server:
    formats: tuple[str, ...]
    host: str | None = None
    image: str | None = None
    default: bool = True

    def unavailable(self, kind: LauncherKind) -> str | None:
        return self.host if kind == "host" else self.image


@dataclass
class Launcher:
    kind: LauncherKind
    reason: str | None = None
    asked: int = 0

    def unavailable(self) -> str | None:
        self.asked += 1
        return self.reason


class Named:
    def __init__(self, **plugins: object) -> None:
        self._plugins = plugins
        self.names = sorted(plugins)

    def load(self, name: str) -> object:
        return self._plugins[name]


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, Launcher]:
    found = {"container": Launcher("image"), "process": Launcher("host")}
    monkeypatch.setattr(matrix, "LAUNCHERS", Named(**found))
    return found


def plan(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Server], artifacts: list[Artifact], **filters: tuple[str, ...]
) -> tuple[list[str], list[tuple[str, str]]]:
    monkeypatch.setattr(matrix, "SERVERS", Named(**known))
    wanted, skips = matrix.matrix(Selection(**filters), artifacts)
    assert all(skip.stage == "serve" for skip in skips)
    return [one.id.partition("@")[2] for one in wanted], [(skip.what, skip.reason) for skip in skips]


def test_a_process_is_preferred_and_the_engine_is_not_even_asked(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    artifacts = [make_artifact("a"), make_artifact("b")]
    wanted, skips = plan(monkeypatch, {"one": Server(("tiny",)), "two": Server(("tiny",))}, artifacts)
    assert wanted == ["one.process", "one.process", "two.process", "two.process"]
    assert skips == []
    assert ways["container"].asked == 0


def test_a_container_where_no_process_can_run(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    servers = {"one": Server(("tiny",), host="no binary"), "two": Server(("tiny",), host="no binary")}
    wanted, skips = plan(monkeypatch, servers, [make_artifact("a")])
    assert wanted == ["one.container", "two.container"]
    assert skips == []
    assert ways["container"].asked == 1


def test_named_launchers_are_all_used_and_what_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    servers = {"one": Server(("tiny",)), "two": Server(("tiny",), image="two has no image")}
    wanted, skips = plan(monkeypatch, servers, [make_artifact("a")], launchers=("process", "container"))
    assert wanted == ["one.process", "one.container", "two.process"]
    assert skips == [("two.container", "two has no image")]


def test_one_skip_with_the_reasons_of_both_launchers(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    ways["container"].reason = "no engine answers"
    wanted, skips = plan(monkeypatch, {"one": Server(("tiny",), host="no binary")}, [make_artifact("a"), make_artifact("b")])
    assert wanted == []
    assert skips == [("one", "process: no binary; container: no engine answers")]


def test_formats_that_a_server_does_not_serve_are_skips_of_their_own(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    servers = {"one": Server(("tiny",)), "two": Server(("other",))}
    artifact = make_artifact("a")
    wanted, skips = plan(monkeypatch, servers, [artifact], servers=("two",))
    assert wanted == []
    assert skips == [("a.pytorch.tiny.float32@two", "two does not serve tiny, only other")]
    assert plan(monkeypatch, servers, [artifact])[1] == [], "nobody asked for it by name"


def test_what_is_no_default_serves_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, ways: dict[str, Launcher], make_artifact: MakeArtifact
) -> None:
    servers = {"one": Server(("tiny",)), "two": Server(("tiny",), default=False, host="not here", image="no image")}
    artifact = make_artifact("a")
    assert plan(monkeypatch, servers, [artifact]) == (["one.process"], [])
    assert plan(monkeypatch, servers, [artifact], servers=("two",)) == ([], [("two", "process: not here; container: no image")])
    assert plan(monkeypatch, servers, [artifact], servers=("all",))[0] == ["one.process"]
    assert not matrix.covered(Skip(stage="serve", what="two", reason=""), Selection(), [artifact], {artifact.manifest.id})


@pytest.mark.parametrize(
    ("what", "filters", "expected"),
    [
        ("a.pytorch.tiny.float32@one.process", {}, True),
        ("a.pytorch.tiny.float32@one.process", {"servers": ("two",)}, False),
        ("a.pytorch.tiny.float32@one.process", {"launchers": ("container",)}, False),
        ("b.pytorch.tiny.float32@one.process", {}, False),
        ("gone.pytorch.tiny.float32@one.process", {}, True),
        ("a.pytorch.tiny.float32@two", {}, True),
        ("one", {}, True),
        ("one", {"servers": ("two",)}, False),
        ("one.container", {"launchers": ("process",)}, False),
        ("two", {}, False),
        ("removed", {}, True),
    ],
)
def test_which_earlier_skips_are_answered_by_serving_one_artifact(
    monkeypatch: pytest.MonkeyPatch, make_artifact: MakeArtifact, what: str, filters: dict[str, tuple[str, ...]], expected: bool
) -> None:
    monkeypatch.setattr(matrix, "SERVERS", Named(one=Server(("tiny",)), two=Server(("other",))))
    servable = {"a.pytorch.tiny.float32", "b.pytorch.tiny.float32"}
    skip = Skip(stage="serve", what=what, reason="")
    assert matrix.covered(skip, Selection(**filters), [make_artifact("a")], servable) is expected
