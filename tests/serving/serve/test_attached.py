"""Servers that somebody else started: attached after verified answers, told of when they go, only forgotten at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtests import candidates, cpu_sets
from loadtests.turns import Turns
from serveoff import affinity
from serveoff.console import Console
from serveoff.errors import GateError, NotReadyError, UsageError
from serveoff.launch import Target
from serveoff.plugins import Artifact
from serveoff.registry import LAUNCHERS, SERVERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import places, targets
from serving.places import Place
from serving.serve import serve, verdict

from .conftest import TinyServer

MakeArtifact = Callable[..., Artifact]
QUIET = Console(quiet=True)
PROCESS = Selection(launchers=("process",))


@pytest.fixture
def other(tiny: TinyServer, make_artifact: MakeArtifact, workspace: Workspace) -> Target:
    """The server of somebody else: a process, with `double` loaded."""
    make_artifact("double")
    (outcome,), _ = serve(PROCESS, workspace, QUIET)
    assert outcome.target is not None
    return outcome.target


def attach(workspace: Workspace, port: int, host: str = "127.0.0.1") -> tuple[Target | None, Exception | None]:
    (outcome,), skips = serve(Selection(), workspace, QUIET, 3, at=(Place("tiny", host, port),))
    assert skips == []
    return outcome.target, outcome.error


def test_it_is_a_target_like_any_other_once_it_has_answered_correctly(other: Target, workspace: Workspace) -> None:
    target, error = attach(workspace, other.endpoints[0].port, "localhost")
    assert error is None
    assert target is not None
    assert (target.id, target.launcher, target.threads) == ("double.pytorch.tiny.float32@tiny.attached", "attached", 3)
    assert [(e.host, e.port) for e in target.endpoints] == [("localhost", other.endpoints[0].port)]
    assert target.id in {one.id for one in candidates.running(workspace)}
    again, _ = attach(workspace, other.endpoints[0].port)
    assert again is not None
    assert again.endpoints[0].host == "127.0.0.1", "attached anew, at the place that was told last"


def test_wrong_answers_are_not_attached(tiny: TinyServer, make_artifact: MakeArtifact, workspace: Workspace) -> None:
    tiny.behaviours["double"] = "wrong"
    make_artifact("double")
    launcher, work = LAUNCHERS.load("process"), workspace.targets / "other"
    work.mkdir(parents=True)
    artifact = make_artifact("other")
    started = launcher.start("other", tiny.spec(artifact, "wrong"), artifact, work)
    (outcome,), _ = serve(Selection(models=("double",)), workspace, QUIET, at=(Place("tiny", "127.0.0.1", started.endpoints[0].port),))
    assert isinstance(outcome.error, GateError)
    assert "answers wrongly over tiny_rest" in str(outcome.error)
    assert targets.recorded(workspace) == []
    launcher.stop(started)


def test_one_that_goes_away_is_told_of_and_a_stop_only_forgets(other: Target, workspace: Workspace) -> None:
    target, _ = attach(workspace, other.endpoints[0].port)
    assert target is not None
    targets.stop(workspace, Selection(launchers=("attached",)))
    assert LAUNCHERS.load("process").alive(other), "stop does not end what it did not start"
    assert [one.id for one in targets.recorded(workspace)] == [other.id]
    target, _ = attach(workspace, other.endpoints[0].port)
    targets.stop(workspace, PROCESS)
    assert target is not None
    reason = candidates.exit_reason(target)
    assert reason is not None
    assert reason.startswith(f"takes no connection: 127.0.0.1:{other.endpoints[0].port}: Connection refused; somebody else started it")


def test_one_that_does_not_come_is_waited_for_and_then_told_of(tiny: TinyServer, make_artifact: MakeArtifact, workspace: Workspace) -> None:
    tiny.timeout_s = 0.2
    make_artifact("double")
    target, error = attach(workspace, 1)
    assert target is None
    assert isinstance(error, NotReadyError)
    assert "was not ready after 0.2 s: it takes no connection: 127.0.0.1:1: Connection refused" in str(error)


def test_it_is_neither_paused_nor_pinned_and_that_is_said(other: Target, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    target, _ = attach(workspace, other.endpoints[0].port)
    assert target is not None
    with Turns([other, target], workspace.root, Console()) as turns:
        turns.give(other)
        turns.rest()
    said = capsys.readouterr().err
    assert said.count(f"{target.id} cannot be paused: somebody else started it: it stays awake while the others are measured") == 1
    if affinity.supported():
        with cpu_sets.apart([other, target], "auto", QUIET) as words:
            assert words in (f"none: {target.id} cannot be pinned to cores: somebody else started it", "none: there is one core only")
            assert affinity.of(LAUNCHERS.load("process").processes(other)[0]) == frozenset(affinity.usable())  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "place", "ports"),
    [
        ("tfserving=tfs", Place("tfserving", "tfs"), {"rest": 8501, "grpc": 8500}),
        ("tfserving=10.0.0.7:1:2", Place("tfserving", "10.0.0.7", 1, 2), {"rest": 1, "grpc": 2}),
        ("torchserve=ts:1", Place("torchserve", "ts", 1), {"inference": 1, "grpc": 7070, "metrics": 8082}),
        ("torchserve=ts/a.pytorch.b.float32", Place("torchserve", "ts", artifact="a.pytorch.b.float32"), {"inference": 8080}),
    ],
)
def test_a_place_as_it_is_told(text: str, place: Place, ports: dict[str, int], make_artifact: MakeArtifact, workspace: Workspace) -> None:
    assert places.parse([text]) == (place,)
    form = "savedmodel" if place.server == "tfserving" else "torchscript"
    work = workspace.targets / "work"
    work.mkdir(parents=True)
    spec = place.of(SERVERS.load(place.server).launch_spec(make_artifact("a", form), "image", work, 1))
    assert spec.listen == place.host
    assert ports.items() <= spec.ports.items()


@pytest.mark.parametrize(
    "text", ["tfserving", "=tfs", "tfserving=", "tfserving=tfs:x", "tfserving=tfs:1:2:3", "nobody=tfs", "tfserving=a:70000"]
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        places.parse([text])
    assert text in caught.value.message
    assert caught.value.hint


def test_which_artifact_a_place_serves_must_be_clear(tiny: TinyServer, make_artifact: MakeArtifact, workspace: Workspace) -> None:
    first, second = make_artifact("a"), make_artifact("b")
    with pytest.raises(UsageError, match=r"2 could be it: a\.pytorch\.tiny\.float32, b\.pytorch\.tiny\.float32"):
        places.wanted([Place("tiny", "one")], [first, second])
    named = [Place("tiny", host, artifact=artifact.manifest.id) for host, artifact in (("one", first), ("two", second))]
    wanted, _ = places.wanted(named, [first, second])
    assert [one.artifact for one in wanted] == [first, second]
    with pytest.raises(UsageError, match="would both be"):
        places.wanted([named[0], named[0]], [first, second])
    outcomes, skips = serve(Selection(), workspace, QUIET, at=[Place("tiny", "one", artifact="gone")])
    assert [(skip.what, skip.reason) for skip in skips] == [("tiny.attached", "there is no artifact gone that tiny serves")]
    with pytest.raises(Exception, match="there is no artifact gone"):
        verdict(outcomes, skips)
