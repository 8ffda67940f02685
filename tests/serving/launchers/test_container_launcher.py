"""The container launcher against a recorded engine: a `docker` on PATH that answers as it was told to.

The real engine is tested in tests/containers, where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from serveoff import storage
from serveoff.errors import MissingToolError, NotReadyError, ServeoffError
from serveoff.launch import LaunchSpec, Mount, Target
from serveoff.plugins import Artifact
from serveoff.registry import LAUNCHERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import targets
from serving.launchers import container

from .recorded_tool import Answers, RecordedTool

LAUNCHER = LAUNCHERS.load("container")

MakeArtifact = Callable[..., Artifact]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedTool:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for variable in ("SERVEOFF_CONTAINER_CPUS", "SERVEOFF_CONTAINER_MEMORY"):
        monkeypatch.delenv(variable, raising=False)
    return RecordedTool(tmp_path / "bin", "docker")


@pytest.fixture
def spec(make_artifact: MakeArtifact, tiny_spec: Callable[..., LaunchSpec]) -> LaunchSpec:
    return msgspec.structs.replace(
        tiny_spec(make_artifact("double")),
        binary=None,
        image="example/server:1.2",
        entrypoint="serve",
        argv=("--port", "{port.rest}", "--host", "{host}", "--models", "{mount.store}", "--config", "{file.told.txt}"),
        ports={"rest": 8080, "management": 8081},
        mounts={"store": Mount(host_path="/data/a,b", container_path="/models")},
        env={"LOG": "{work}/log"},
    )


@pytest.fixture
def container_target(engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact) -> Target:
    target: Target = LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    return target


def test_the_exact_run_line(spec: LaunchSpec, tmp_path: Path) -> None:
    line = container.run_command("docker", "name", "double@tiny.container", tmp_path, spec, {"rest": 23456}, tmp_path / "targets" / "x")
    assert line == (
        *("docker", "run", "--detach", "--init", "--name", "name"),
        *("--label", f"serveoff.workspace={tmp_path}", "--label", "serveoff.target=double@tiny.container"),
        *("--security-opt", "label=disable"),
        *("--publish", "127.0.0.1:23456:8080"),
        *("--mount", 'type=bind,"source=/data/a,b",target=/models,readonly'),
        *("--mount", f"type=bind,source={tmp_path}/targets/x/files,target=/serveoff/files,readonly"),
        *("--env", "LOG=/tmp/log"),
        *("--entrypoint", "serve", "example/server:1.2"),
        *("--port", "8080", "--host", "0.0.0.0", "--models", "/models", "--config", "/serveoff/files/told.txt"),
    )


def test_an_image_of_ours_is_never_pulled(spec: LaunchSpec, tmp_path: Path) -> None:
    ours = msgspec.structs.replace(spec, image="serveoff/embedded:latest")
    lines = [container.run_command("docker", "name", "id", tmp_path, one, {"rest": 1}, tmp_path) for one in (ours, spec)]
    assert lines[0][lines[0].index("--pull") + 1] == "never"
    assert "--pull" not in lines[1]


def test_limits_come_from_the_environment(spec: LaunchSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVEOFF_CONTAINER_CPUS", "2")
    monkeypatch.setenv("SERVEOFF_CONTAINER_MEMORY", "4g")
    line = container.run_command("docker", "name", "id", tmp_path, spec, {"rest": 1}, tmp_path)
    assert line[line.index("--cpus") : line.index("--entrypoint")] == ("--cpus", "2", "--memory", "4g")


def test_start_writes_the_files_and_publishes_only_what_a_client_needs(
    engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact
) -> None:
    work = workspace.targets / "double@tiny.container"
    target = LAUNCHER.start(work.name, spec, make_artifact("other"), work)
    assert (target.launcher, target.pid) == ("container", None)
    assert target.container is not None
    assert target.container.startswith("serveoff-double-tiny.container-")
    published = [word for word in target.command if word.startswith("127.0.0.1:")]
    assert published == [f"127.0.0.1:{target.endpoints[0].port}:8080"]
    assert (work / "files" / "told.txt").read_text() == "port 8080, {not.a.slot}"
    assert list(target.command[1:]) in engine.calls
    assert ["rm", "--force", "--volumes", target.container] in engine.calls[: engine.calls.index(list(target.command[1:]))]


def test_a_refused_start_says_why_and_how_to_try_by_hand(
    engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact
) -> None:
    said = "docker: Error response from daemon: no such mount\n\nRun 'docker run --help' for more information\n"
    engine.answer([{"to": ["run"], "err": said, "code": 125}, {"to": ["inspect"], "code": 1}])
    with pytest.raises(NotReadyError, match=r"could not start example/server:1.2: docker: Error response from daemon: no such mount") as e:
        LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    assert e.value.hint.startswith("try it by hand: docker run --detach")
    assert engine.calls[-2][:2] == ["rm", "--force"]


@pytest.mark.parametrize("here", [True, False])
def test_an_image_is_pulled_where_it_is_not_here(
    engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact, here: bool
) -> None:
    engine.answer([{"to": ["image", "inspect"], "out": "sha256:0123\n"}] if here else [])
    LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    assert (["pull", "--quiet", "example/server:1.2"] in engine.calls) is not here


def test_an_image_that_cannot_be_pulled_is_missing_and_nothing_is_run(
    engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact
) -> None:
    engine.answer([{"to": ["pull"], "err": "Error response from daemon: no such host\n", "code": 1}])
    with pytest.raises(
        MissingToolError, match=r"example/server:1.2 is not on this host, and docker could not pull it: .*no such host"
    ) as e:
        LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    assert e.value.hint == "try it by hand: docker pull example/server:1.2"
    assert not any(call[0] == "run" for call in engine.calls)


def test_alive_exit_reason_and_stop(engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    target = LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    running = ["inspect", "--format", "{{.State.Running}}"]
    engine.answer([{"to": running, "out": "true\n"}])
    assert LAUNCHER.alive(target)
    state = ["inspect", "--format", "{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}}"]
    engine.answer(
        [{"to": running, "out": "false\n"}, {"to": state, "out": "false 137 true\n"}, {"to": ["logs"], "err": "no memory left\n"}]
    )
    assert not LAUNCHER.alive(target)
    reason = LAUNCHER.exit_reason(target)
    assert "SIGKILL, exit 137" in reason
    assert "out of memory" in reason
    assert reason.endswith("  no memory left")
    engine.answer([{"to": ["inspect"], "code": 1}])
    assert "removed" in LAUNCHER.exit_reason(target)
    LAUNCHER.stop(target)  # gone already
    assert engine.calls[-1][0] == "inspect"


def test_stop_that_removes_nothing_is_an_error(
    engine: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact
) -> None:
    target = LAUNCHER.start("t", spec, make_artifact("other"), workspace.targets / "t")
    engine.answer([{"to": ["inspect"], "out": "0123\n"}])
    with pytest.raises(NotReadyError, match="could not be removed"):
        LAUNCHER.stop(target)
    calls = [call[0] for call in engine.calls]
    assert calls[-4:] == ["stop", "logs", "rm", "inspect"]


def test_without_an_engine_a_recorded_target_is_out_of_reach_and_blocks_nothing(engine: RecordedTool, container_target: Target) -> None:
    engine.answer([{"to": [], "err": "Cannot connect to the Docker daemon\n", "code": 1}])
    assert not LAUNCHER.alive(container_target)
    reason = LAUNCHER.exit_reason(container_target)
    assert reason.startswith("is out of reach, the container engine does not answer: ")
    assert "docker: Cannot connect to the Docker daemon" in reason
    with pytest.raises(MissingToolError, match=r"^t could not be stopped, the container engine does not answer: ") as e:
        LAUNCHER.stop(container_target)
    assert f"delete {Path(container_target.log).parent}" in e.value.hint


def test_status_and_stop_with_a_container_out_of_reach(engine: RecordedTool, container_target: Target, workspace: Workspace) -> None:
    record = workspace.targets / "t" / targets.RECORD
    storage.write(record, container_target)
    other = workspace.targets / "u" / targets.RECORD
    storage.write(other, msgspec.structs.replace(container_target, id="u", launcher="process", log=str(other.with_name("log.txt"))))
    engine.answer([{"to": [], "code": 1}])
    assert [(s.target.id, s.running, "does not answer" in s.reason) for s in targets.status(workspace)] == [
        ("t", False, True),
        ("u", False, False),
    ]
    with pytest.raises(MissingToolError, match=r"t could not be stopped(.|\n)*\(ended: target u\)$"):
        targets.stop(workspace, Selection())
    assert record.exists()
    assert not other.exists()


def test_sweep_goes_on_after_a_container_that_stays(engine: RecordedTool, workspace: Workspace) -> None:
    answers: Answers = [{"to": ["ps", "--all"], "out": "a\nb\n"}, {"to": ["inspect", "--format", "{{.Id}}", "a"], "out": "0123\n"}]
    engine.answer(answers)
    with pytest.raises(NotReadyError, match="the container a could not be removed"):
        LAUNCHER.sweep(workspace.root)
    assert [call[-1] for call in engine.calls if call[0] == "rm"] == ["a", "b"]


def test_sweep_finds_containers_by_their_label(engine: RecordedTool, workspace: Workspace) -> None:
    listing = ["ps", "--all", "--filter", f"label=serveoff.workspace={workspace.root}"]
    engine.answer([{"to": listing, "out": "serveoff-a\nserveoff-b\n"}])
    assert LAUNCHER.sweep(workspace.root) == ["container serveoff-a", "container serveoff-b"]
    assert [call[-1] for call in engine.calls if call[0] == "rm"] == ["serveoff-a", "serveoff-b"]


class TestUnavailable:
    def test_an_engine_that_answers(self, engine: RecordedTool) -> None:
        assert LAUNCHER.unavailable() is None
        assert engine.calls == [["ps", "--quiet"]]

    def test_no_command_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert LAUNCHER.unavailable() == "no container engine: neither docker nor podman is on PATH; install one of them"
        assert LAUNCHER.sweep(workspace.root) == []

    def test_a_client_without_an_engine(self, engine: RecordedTool, spec: LaunchSpec, make_artifact: MakeArtifact, tmp_path: Path) -> None:
        engine.answer([{"to": [], "err": "Cannot connect to the Docker daemon at unix:///x.sock. Is it running?\n", "code": 1}])
        reason = LAUNCHER.unavailable()
        assert reason is not None
        assert "docker: Cannot connect to the Docker daemon at unix:///x.sock" in reason
        assert "start it" in reason
        with pytest.raises(MissingToolError, match="Cannot connect"):
            LAUNCHER.start("t", spec, make_artifact("other"), tmp_path / "targets" / "t")

    def test_podman_where_docker_has_no_engine(self, engine: RecordedTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        engine.answer([{"to": [], "code": 1}])
        podman = RecordedTool(tmp_path / "podman", "podman")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tmp_path / 'podman'}")
        assert LAUNCHER.unavailable() is None
        assert podman.calls == [["ps", "--quiet"]]

    def test_an_engine_that_hangs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "docker").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(container, "_ANSWER_S", 0.3)
        reason = LAUNCHER.unavailable()
        assert reason is not None
        assert "docker: no answer within 0.3 s" in reason


@pytest.mark.parametrize(
    ("state", "calls", "done"),
    [
        ("true false", "pause", ["pause"]),
        ("true true", "pause", []),
        ("false false", "pause", []),
        ("true true", "resume", ["unpause"]),
        ("true false", "resume", []),
        ("", "resume", []),
    ],
)
def test_pause_and_resume_tell_the_engine_once(
    engine: RecordedTool, container_target: Target, state: str, calls: str, done: list[str]
) -> None:
    engine.answer([{"to": ["inspect"], "out": state}])
    getattr(LAUNCHER, calls)(container_target)
    assert [call[0] for call in engine.calls if call[0] in ("pause", "unpause")] == done


def test_a_pause_that_the_engine_refuses_is_an_error(engine: RecordedTool, container_target: Target) -> None:
    engine.answer([{"to": ["inspect"], "out": "true false"}, {"to": ["pause"], "code": 1, "err": "Error: cgroups v1 without a freezer"}])
    with pytest.raises(ServeoffError, match=r"could not pause the container .*: Error: cgroups v1 without a freezer"):
        LAUNCHER.pause(container_target)


def test_processes_are_the_containers_own_or_unknown(engine: RecordedTool, container_target: Target) -> None:
    engine.answer(
        [{"to": ["inspect"], "out": f"{os.getpid()} 0123456789abcdef"}]
    )  # in a virtual machine: another process has that pid here
    assert LAUNCHER.processes(container_target) is None


@pytest.mark.parametrize(("paused", "asleep"), [("true", True), ("false", False), ("", False)])
def test_asleep_is_what_the_engine_says(engine: RecordedTool, container_target: Target, paused: str, asleep: bool) -> None:
    engine.answer([{"to": ["inspect", "--format", "{{.State.Paused}}"], "out": paused}])
    assert LAUNCHER.asleep(container_target) is asleep


def pinned(engine: RecordedTool, target: Target, monkeypatch: pytest.MonkeyPatch, *, ours: bool, answers: Answers) -> list[list[str]]:
    """What the engine was told, of a running container whose processes this host sees, or does not."""
    monkeypatch.setattr(container, "_in_container", lambda pid, container_id: ours)
    running: dict[str, object] = {"to": ["inspect", "--format", "{{.State.Running}}"], "out": "true"}
    engine.answer([running, {"to": ["inspect"], "out": f"{os.getpid()} 0123456789abcdef"}, *answers])
    LAUNCHER.pin(target, (3, 1))
    return [call for call in engine.calls if call[0] == "update"]


def test_a_container_is_pinned_by_its_engine(engine: RecordedTool, container_target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    told = pinned(engine, container_target, monkeypatch, ours=True, answers=[])
    assert told == [["update", "--cpuset-cpus", "1,3", container_target.container]]
    engine.answer([{"to": ["inspect"], "code": 1}])
    LAUNCHER.pin(container_target, (0,))
    assert [call for call in engine.calls if call[0] == "update"] == told, "one that is gone is left alone"


def test_a_container_that_cannot_be_pinned_says_why(
    engine: RecordedTool, container_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServeoffError, match="t cannot be pinned to cores: its engine runs in a virtual machine"):
        pinned(engine, container_target, monkeypatch, ours=False, answers=[])
    refused: Answers = [{"to": ["update"], "code": 1, "err": "Error response from daemon: cpuset is not mounted"}]
    with pytest.raises(ServeoffError, match=r"docker could not update the container .*: Error response from daemon: cpuset is not mounted"):
        pinned(engine, container_target, monkeypatch, ours=True, answers=refused)
