"""The process launcher, on real processes: how they start, how their end is known, and that nothing is left."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from serveoff import affinity, process
from serveoff.errors import NotReadyError, ServeoffError
from serveoff.launch import LaunchSpec, Target
from serveoff.plugins import Artifact
from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace
from serving import ready

LAUNCHER = LAUNCHERS.load("process")
Start = Callable[[str], tuple[Target, LaunchSpec]]


@pytest.fixture
def start(workspace: Workspace, make_artifact: Callable[..., Artifact], tiny_spec: Callable[..., LaunchSpec]) -> Start:
    def start(behaviour: str) -> tuple[Target, LaunchSpec]:
        artifact = make_artifact(behaviour)
        work = workspace.targets / f"{artifact.manifest.id}@tiny.process"
        work.mkdir(parents=True)
        spec = tiny_spec(artifact, behaviour)
        return LAUNCHER.start(work.name, spec, artifact, work), spec

    return start


def wait(target: Target, spec: LaunchSpec) -> None:
    ready.wait(target, spec, LAUNCHER, threading.Event())


def processes(target: Target) -> list[psutil.Process]:
    assert target.pid is not None
    root = psutil.Process(target.pid)
    return [root, *root.children(recursive=True)]


def gone(p: psutil.Process) -> bool:
    """Ended; perhaps not yet collected by a new parent."""
    return not p.is_running() or p.status() == psutil.STATUS_ZOMBIE


def test_a_server_starts_on_a_free_loopback_port_and_stops(start: Start, workspace: Workspace) -> None:
    target, spec = start("good")
    wait(target, spec)
    assert LAUNCHER.alive(target)
    assert target.endpoints[0].host == "127.0.0.1"
    assert ready.is_ready(target.endpoints[0], spec)
    tree = processes(target)
    LAUNCHER.stop(target)
    assert not LAUNCHER.alive(target)
    assert all(gone(p) for p in tree)
    assert process.owned(workspace.root) == []
    LAUNCHER.stop(target)  # ended already: no error


def test_slots_are_filled_in_argv_env_and_files(start: Start) -> None:
    target, spec = start("good")
    wait(target, spec)
    work, port = Path(target.log).parent, target.endpoints[0].port
    assert target.command[2] == str(port)
    assert (work / "files" / "told.txt").read_text() == f"port {port}, {{not.a.slot}}"
    assert f"told {work}/files/told.txt" in Path(target.log).read_text()


def test_two_servers_get_two_ports(start: Start) -> None:
    targets = [start("good"), start("parent")]
    assert len({target.endpoints[0].port for target, _ in targets}) == 2
    for target, spec in targets:
        wait(target, spec)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("exit", ["exited with code 1", "the model does not fit: 7 tensors of 9"]), ("killed", ["SIGKILL", "exit 137", "memory"])],
)
def test_a_server_that_ends_before_it_is_ready_says_why(start: Start, behaviour: str, words: list[str]) -> None:
    target, spec = start(behaviour)
    with pytest.raises(NotReadyError) as raised:
        wait(target, spec)
    assert all(word in raised.value.message for word in [*words, target.id])
    assert target.log in raised.value.hint
    assert raised.value.exit_code == 4


def test_a_server_that_never_gets_ready_times_out_with_its_log(
    workspace: Workspace, make_artifact: Callable[..., Artifact], tiny_spec: Callable[..., LaunchSpec]
) -> None:
    artifact = make_artifact("silent")
    work = workspace.targets / "silent@tiny.process"
    work.mkdir(parents=True)
    spec = tiny_spec(artifact, "silent", timeout_s=1.0)
    target = LAUNCHER.start(work.name, spec, artifact, work)
    with pytest.raises(NotReadyError, match=r"not ready after 1 s: it is running") as raised:
        wait(target, spec)
    assert "tiny server, silent" in raised.value.message


def test_waiting_can_be_called_off(start: Start) -> None:
    target, spec = start("silent")
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(NotReadyError, match="stopped before it was ready"):
        ready.wait(target, spec, LAUNCHER, cancelled)


def test_stop_kills_what_ignores_the_polite_signal(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    target, spec = start("stubborn")
    wait(target, spec)
    tree = processes(target)
    end_tree = process.end_tree
    monkeypatch.setattr(process, "end_tree", lambda pid, started_at=None: end_tree(pid, started_at, grace_s=0.5))
    LAUNCHER.stop(target)
    assert all(gone(p) for p in tree)


def test_stop_ends_a_worker_that_left_the_process_tree(start: Start, workspace: Workspace) -> None:
    target, spec = start("parent")
    wait(target, spec)
    found = re.search(r"worker (\d+)", Path(target.log).read_text())
    assert found
    worker = psutil.Process(int(found[1]))
    assert worker not in processes(target)
    LAUNCHER.stop(target)
    assert gone(worker)
    assert process.owned(workspace.root) == []


def test_killed_from_outside_it_is_dead_with_the_signal_and_sweep_finds_the_rest(start: Start, workspace: Workspace) -> None:
    target, spec = start("parent")
    wait(target, spec)
    server = processes(target)[1]
    server.send_signal(signal.SIGKILL)
    psutil.wait_procs([psutil.Process(target.pid)], timeout=10)
    assert not LAUNCHER.alive(target)
    assert "SIGKILL" in LAUNCHER.exit_reason(target)
    swept = LAUNCHER.sweep(workspace.root)
    assert len(swept) == 1
    assert "time.sleep(600)" in swept[0]
    assert process.owned(workspace.root) == []
    assert LAUNCHER.sweep(workspace.root) == []


def test_a_reused_pid_is_not_taken_for_ours(start: Start) -> None:
    target, _ = start("good")
    stranger = msgspec.structs.replace(target, pid=psutil.Process().pid, pid_started_at=1.0)
    assert not LAUNCHER.alive(stranger)


def test_scratch_is_short_however_deep_the_workspace_lies(
    tmp_path: Path, make_artifact: Callable[..., Artifact], tiny_spec: Callable[..., LaunchSpec]
) -> None:
    root = tmp_path / ("deep" * 30)
    work = root / "targets" / "deep@tiny.process"
    work.mkdir(parents=True)
    artifact = make_artifact("deep")
    spec = msgspec.structs.replace(tiny_spec(artifact), env={"TOLD": "{scratch}"})
    target = LAUNCHER.start(work.name, spec, artifact, work)
    try:
        wait(target, spec)
        found = re.search(r"told (.+)", Path(target.log).read_text())
        assert found
        scratch = Path(found[1])
        assert len(str(scratch)) < 80
        assert scratch.resolve().is_relative_to(work)
    finally:
        LAUNCHER.stop(target)
    assert not scratch.is_symlink()


def test_sweep_removes_the_short_path_of_a_target_that_nobody_stopped(
    workspace: Workspace, make_artifact: Callable[..., Artifact], tiny_spec: Callable[..., LaunchSpec]
) -> None:
    artifact = make_artifact("exit")
    work = workspace.targets / "crashed@tiny.process"
    work.mkdir(parents=True)
    spec = msgspec.structs.replace(tiny_spec(artifact), env={"TOLD": "{scratch}"})
    target = LAUNCHER.start(work.name, spec, artifact, work)
    wait(target, spec)
    found = re.search(r"told (.+)", Path(target.log).read_text())
    assert found
    assert Path(found[1]).is_symlink()
    LAUNCHER.sweep(workspace.root)
    assert not Path(found[1]).is_symlink()


def test_an_unknown_slot_is_an_error(
    workspace: Workspace, make_artifact: Callable[..., Artifact], tiny_spec: Callable[..., LaunchSpec]
) -> None:
    artifact = make_artifact("slots")
    spec = msgspec.structs.replace(tiny_spec(artifact), argv=("{port.grpc}",))
    with pytest.raises(ServeoffError, match=r"\{port.grpc\}, but declares no port 'grpc'"):
        LAUNCHER.start("x", spec, artifact, workspace.targets / "x")


def states(target: Target) -> set[str]:
    """The states of all that the launcher says works for the target."""
    return {psutil.Process(pid).status() for pid in LAUNCHER.processes(target) or []}


@pytest.mark.parametrize("behaviour", ["good", "parent"])
def test_a_paused_target_sleeps_with_all_it_started_lives_and_answers_again(start: Start, behaviour: str) -> None:
    target, spec = start(behaviour)
    wait(target, spec)
    assert len(LAUNCHER.processes(target) or []) >= (3 if behaviour == "parent" else 2), "the shell, the server, and who left the family"
    for _ in range(2):  # twice is no error
        LAUNCHER.pause(target)
        assert states(target) == {psutil.STATUS_STOPPED}
        assert LAUNCHER.asleep(target)
    assert LAUNCHER.alive(target)
    for _ in range(2):
        LAUNCHER.resume(target)
    assert psutil.STATUS_STOPPED not in states(target)
    assert not LAUNCHER.asleep(target)
    assert ready.is_ready(target.endpoints[0], spec)


@pytest.mark.skipif(not affinity.supported(), reason="this system has no CPU affinity")
def test_a_target_is_pinned_with_all_it_started(start: Start) -> None:
    target, spec = start("parent")
    wait(target, spec)
    everywhere = affinity.usable()
    for cores in (everywhere[:1], everywhere):
        LAUNCHER.pin(target, cores)
        assert {affinity.of(pid) for pid in LAUNCHER.processes(target) or []} == {frozenset(cores)}
    with pytest.raises(ServeoffError, match=r"cannot be pinned to cores: process [0-9]+: Invalid argument"):
        LAUNCHER.pin(target, (9999,))
    LAUNCHER.stop(target)
    LAUNCHER.pin(target, everywhere)  # ended already: no error


def test_a_paused_target_can_be_stopped_and_swept(start: Start, workspace: Workspace) -> None:
    (first, spec), (second, _) = start("good"), start("parent")
    wait(first, spec)
    for target in (first, second):
        LAUNCHER.pause(target)
    LAUNCHER.stop(first)
    assert not LAUNCHER.alive(first)
    LAUNCHER.sweep(workspace.root)
    assert process.owned(workspace.root) == []
    for target in (first, second):  # ended already: no error
        LAUNCHER.pause(target)
        LAUNCHER.resume(target)
        assert LAUNCHER.processes(target) == []
