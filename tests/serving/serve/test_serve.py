"""`serve`, `status` and `stop` with a tiny real server that can fail in every way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from serveoff import artifacts, process, running, storage
from serveoff.console import Console
from serveoff.contract import Skips
from serveoff.errors import GateError, InputError, MissingToolError, NotReadyError
from serveoff.launch import Target
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import ready, serve, targets

MakeArtifact = Callable[..., Artifact]
ALL = Selection()
CONSOLE = Console(quiet=True)
SECOND_LOOPBACK = "127.0.0.2"


def up(workspace: Workspace, selection: Selection = ALL, **options: Any) -> list[serve.Outcome]:
    outcomes, skips = serve.serve(selection, workspace, CONSOLE, **options)
    serve.verdict(outcomes, skips)
    return outcomes


def only_target(outcomes: list[serve.Outcome]) -> Target:
    [outcome] = outcomes
    assert outcome.target is not None
    return outcome.target


def test_a_target_comes_up_is_recorded_and_stops(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    target = only_target(up(workspace, threads=3))
    assert target.id == "double.pytorch.tiny.float32@tiny.process"
    assert target.threads == 3
    assert target.ready_s is not None
    assert [(s.target, s.running) for s in targets.status(workspace)] == [(target, True)]
    directory = workspace.targets / target.id
    assert {"target.json", "launch.json", "manifest.json", "log.txt"} <= {path.name for path in directory.iterdir()}
    assert targets.stop(workspace, ALL) == [f"target {target.id}"]
    assert targets.status(workspace) == []
    assert process.owned(workspace.root) == []
    assert (directory / "log.txt").exists()
    assert targets.stop(workspace, ALL) == []


def test_a_healthy_target_is_kept(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    first = only_target(up(workspace))
    again = up(workspace)
    assert again[0].kept
    assert again[0].target == first
    assert tiny.launched == ["double"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_it_listens_where_it_is_told_to(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    target = only_target(up(workspace, listen=SECOND_LOOPBACK))
    (endpoint,) = target.endpoints
    assert endpoint.host == SECOND_LOOPBACK
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=5)
    assert only_target(up(workspace)).endpoints[0].host == "127.0.0.1", "it moves when another address is asked for"


@pytest.mark.parametrize("change", ["artifact", "threads", "killed", "frozen"])
def test_any_other_target_is_replaced(
    tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = make_artifact("double")
    first = only_target(up(workspace, threads=1))
    assert first.pid is not None
    server = psutil.Process(first.pid).children()[0]
    if change == "artifact":
        export_again(artifact)
    elif change == "killed":
        server.kill()
        psutil.wait_procs([psutil.Process(first.pid)], timeout=10)
    elif change == "frozen":
        server.suspend()
        monkeypatch.setattr(serve, "_KEPT_TIMEOUT_S", 0.5)
    second = up(workspace, threads=2 if change == "threads" else 1)[0]
    assert not second.kept
    assert second.target is not None
    assert second.target.pid != first.pid
    assert process.find(server.pid, server.create_time()) is None
    assert [s.running for s in targets.status(workspace)] == [True]


def export_again(artifact: Artifact) -> None:
    (artifact.version_dir / "model.tiny").write_text("retrained")
    manifest = msgspec.structs.replace(artifact.manifest, files=artifacts.records(artifact.directory, "serve"))
    storage.write(artifact.directory / artifacts.MANIFEST, manifest)


def test_one_failing_target_leaves_the_others_standing(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    for model in ("double", "broken", "last"):
        make_artifact(model)
    tiny.behaviours = {"broken": "exit"}
    outcomes, skips = serve.serve(ALL, workspace, CONSOLE)
    assert [o.target is not None for o in outcomes] == [False, True, True]
    with pytest.raises(NotReadyError) as raised:
        serve.verdict(outcomes, skips)
    assert raised.value.exit_code == 4
    assert "broken.pytorch.tiny.float32@tiny.process exited with code 1" in raised.value.message
    assert "the model does not fit" in raised.value.message
    assert [(s.target.artifact_id.split(".")[0], s.running) for s in targets.status(workspace)] == [("double", True), ("last", True)]


def test_wrong_answers_fail_the_gate_and_the_target_is_stopped(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    tiny.behaviours = {"double": "wrong"}
    with pytest.raises(GateError, match="answers wrongly over tiny_rest: live, 1 row") as raised:
        up(workspace)
    assert raised.value.exit_code == 5
    assert process.owned(workspace.root) == []
    assert targets.recorded(workspace) == []


def test_a_server_that_never_gets_ready_is_stopped(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    tiny.behaviours, tiny.timeout_s = {"double": "silent"}, 0.5
    with pytest.raises(NotReadyError, match="was not ready after") as raised:
        up(workspace)
    assert "tiny server, silent" in raised.value.message
    assert process.owned(workspace.root) == []


def test_a_damaged_artifact_is_never_served(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    artifact = make_artifact("double")
    (artifact.version_dir / "model.tiny").write_text("tampered")
    with pytest.raises(InputError, match="has changed since it was exported"):
        up(workspace)
    assert tiny.launched == []


def test_a_partial_serve_keeps_the_skips_it_was_not_about(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    for model in ("double", "odd"):
        make_artifact(model)
    tiny.lacking = ("odd",)
    up(workspace)
    up(workspace, Selection(models=("double",)))
    [skip] = storage.read(workspace.targets / "skips.json", Skips).skips
    assert skip.what == "odd.pytorch.tiny.float32@tiny.process"
    tiny.lacking = ()
    up(workspace, Selection(models=("odd",)))
    assert storage.read(workspace.targets / "skips.json", Skips).skips == ()


def test_nothing_exported(tiny: Any, workspace: Workspace) -> None:
    with pytest.raises(InputError, match="no artifact to serve") as raised:
        up(workspace)
    assert "serveoff export" in raised.value.hint


def test_nothing_that_can_run_is_no_success(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    make_artifact("double")
    make_artifact("other", "onnx")
    tiny.missing = {"host": "tiny is not installed", "image": "tiny has no image"}
    with pytest.raises(MissingToolError, match="tiny: process: tiny is not installed; container: tiny has no image") as e:
        up(workspace)
    assert e.value.exit_code == 3
    skips = storage.read(workspace.targets / "skips.json", Skips).skips
    assert [(s.what, s.reason) for s in skips] == [("tiny", "process: tiny is not installed; container: tiny has no image")]


def test_an_artifact_that_lacks_a_tool_is_a_skip_not_a_failure(tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
    for model in ("double", "odd"):
        make_artifact(model)
    tiny.lacking = ("odd",)
    assert only_target(up(workspace)).artifact_id == "double.pytorch.tiny.float32"
    [skip] = storage.read(workspace.targets / "skips.json", Skips).skips
    assert (skip.what, skip.reason) == ("odd.pytorch.tiny.float32@tiny.process", "no runtime for it: install one")


def test_interrupted_it_stops_what_it_started_and_keeps_what_was_up(
    tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact("before")
    kept = only_target(up(workspace))
    for model in ("double", "slow"):
        make_artifact(model)
    tiny.behaviours = {"slow": "silent"}
    started = threading.Event()
    wait = ready.wait

    def interrupt(futures: Any) -> Any:
        started.wait(30)
        raise KeyboardInterrupt

    def watched(target: Target, *rest: Any) -> None:
        if "slow" in target.id:
            started.set()
        wait(target, *rest)

    monkeypatch.setattr(serve, "as_completed", interrupt)
    monkeypatch.setattr(ready, "wait", watched)
    with pytest.raises(KeyboardInterrupt):
        up(workspace)
    assert [s.target for s in targets.status(workspace)] == [kept]
    assert {p.pid for p in process.owned(workspace.root)} == {kept.pid, *(p.pid for p in psutil.Process(kept.pid).children())}


class TestStop:
    def test_a_filter_stops_only_what_passes_it(self, tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
        for model in ("double", "other"):
            make_artifact(model)
        up(workspace)
        assert targets.stop(workspace, Selection(servers=("torchserve",))) == []
        assert targets.stop(workspace, Selection(models=("other",))) == ["target other.pytorch.tiny.float32@tiny.process"]
        assert [s.target.artifact_id for s in targets.status(workspace)] == ["double.pytorch.tiny.float32"]

    def test_status_tells_how_a_target_died(self, tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
        make_artifact("double")
        target = only_target(up(workspace))
        psutil.Process(target.pid).children()[0].send_signal(signal.SIGSEGV)
        psutil.wait_procs([psutil.Process(target.pid)], timeout=10)
        [status] = targets.status(workspace)
        assert not status.running
        assert "was ended by SIGSEGV, exit 139" in status.reason

    def test_after_a_crash_the_unrecorded_is_found(self, tiny: Any, workspace: Workspace, make_artifact: MakeArtifact) -> None:
        make_artifact("double")
        tiny.behaviours = {"double": "parent"}
        target = only_target(up(workspace))
        (workspace.targets / target.id / "target.json").write_text('{"schema": 1, "id":')  # half a record
        ended = targets.stop(workspace, ALL)
        assert len([line for line in ended if line.startswith("process ")]) == len(ended) >= 3
        assert process.owned(workspace.root) == []
        assert not (workspace.targets / target.id / "target.json").exists()

    @pytest.mark.parametrize("damage", ["half", "folder"])
    def test_no_damaged_record_keeps_it_from_ending_the_rest(
        self, tiny: Any, workspace: Workspace, make_artifact: MakeArtifact, damage: str
    ) -> None:
        for model in ("double", "other"):
            make_artifact(model)
        up(workspace)
        storage.write_bytes(workspace.running / "loadtest.json", b'{"schema": 1, "pid":')
        record = workspace.targets / "other.pytorch.tiny.float32@tiny.process" / targets.RECORD
        record.unlink()
        if damage == "folder":
            record.mkdir()
            with pytest.raises(InputError, match=r"cannot be read(.|\n)*ended: target double"):
                targets.stop(workspace, ALL)
        else:
            record.write_text("{")
            assert "target double.pytorch.tiny.float32@tiny.process" in targets.stop(workspace, ALL)
            assert not record.exists()
        assert process.owned(workspace.root) == []

    def test_a_command_that_hangs_is_ended(self, workspace: Workspace, tmp_path: Path) -> None:
        script = (
            "import sys, time; from pathlib import Path; from serveoff.running import at_work; from serveoff.workspace import Workspace\n"
            "with at_work(Workspace(Path(sys.argv[1])), 'loadtest'):\n    print('at work', flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", script, str(workspace.root)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "at work\n"
            assert targets.stop(workspace, ALL) == [f"the command `serveoff loadtest` (process {child.pid})"]
        assert running.workers(workspace) == []

    def test_the_command_that_stops_does_not_end_itself(self, workspace: Workspace) -> None:
        with running.at_work(workspace, "run"):
            assert targets.stop(workspace, ALL) == []
            assert [worker.pid for _, worker in running.workers(workspace)] == [os.getpid()]
