"""The launcher kubernetes against a recorded cluster: a `kubectl` on PATH that answers as it was told to."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serveoff import process
from serveoff.errors import MissingToolError, NotReadyError, ServeoffError
from serveoff.launch import LaunchSpec, Mount, Target
from serveoff.plugins import Artifact
from serveoff.registry import LAUNCHERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace
from serving import matrix
from serving.launchers import _kubectl, _overlay, kubernetes

from .recorded_tool import Answers, RecordedTool

LAUNCHER = LAUNCHERS.load("kubernetes")

MakeArtifact = Callable[..., Artifact]
PORT_FORWARD: dict[str, object] = {"to": ["port-forward"], "stays_s": 60}


def received(cluster: RecordedTool) -> dict[str, tuple[int, int]]:
    """name -> (owner, mode) of the files that were sent into a pod."""
    with tarfile.open(cluster.stdin) as archive:
        return {member.name: (member.uid, member.mode) for member in archive if member.isfile()}


def pods(*containers: dict[str, Any], init: dict[str, Any] | None = None, **status: Any) -> str:
    """What `kubectl get pods --output json` says of one pod with these containers."""
    states = {
        "initContainerStatuses": [
            {"name": "fill", "image": "example/server:1.2", "state": init or {"terminated": {"exitCode": 0, "reason": "Completed"}}}
        ]
    }
    item = {"metadata": {"name": "pod-1"}, "status": {**states, "containerStatuses": list(containers), **status}}
    return json.dumps({"items": [item]})


def server(state: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {"name": "server", "image": "example/server:1.2", "state": state, "restartCount": 0, **facts}


FILLING = pods(server({"waiting": {"reason": "PodInitializing"}}), init={"running": {}})
READY = pods(server({"running": {}}, ready=True))
NO_PODS = '{"items": []}'
GOOD: Answers = [
    PORT_FORWARD,
    {"to": ["get", "pods"], "after": "touch", "out": READY},
    {"to": ["get", "pods"], "after": "apply", "out": FILLING},
    {"to": ["get", "pods"], "out": NO_PODS},
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedTool:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(kubernetes.NAMESPACE_VARIABLE, raising=False)
    monkeypatch.setattr(kubernetes, "_LOOK_S", 0.01)
    cluster = RecordedTool(tmp_path / "bin", "kubectl")
    cluster.answer(GOOD)
    return cluster


@pytest.fixture
def spec(make_artifact: MakeArtifact, tiny_spec: Callable[..., LaunchSpec], tmp_path: Path) -> LaunchSpec:
    (tmp_path / "store" / "1").mkdir(parents=True)
    (tmp_path / "store" / "1" / "model").write_text("weights")
    return msgspec.structs.replace(
        tiny_spec(make_artifact("double")),
        server="tfserving",
        binary=None,
        image="example/server:1.2",
        entrypoint="serve",
        argv=("--port", "{port.rest}", "--host", "{host}", "--models", "{mount.store}", "--config", "{file.told.txt}"),
        ports={"rest": 8080, "management": 8081},
        mounts={"store": Mount(host_path=str(tmp_path / "store"), container_path="/models")},
        env={"LOG": "{work}/log"},
    )


@pytest.fixture
def start(cluster: RecordedTool, spec: LaunchSpec, workspace: Workspace, make_artifact: MakeArtifact) -> Callable[[], Target]:
    work, artifact = workspace.targets / "double@tfserving.kubernetes", make_artifact("other")
    return lambda: LAUNCHER.start(work.name, spec, artifact, work)


def test_start_applies_fills_waits_and_forwards(cluster: RecordedTool, start: Callable[[], Target], workspace: Workspace) -> None:
    target = start()
    work = workspace.targets / target.id
    mark = _overlay.mark(target.id, workspace.root)
    get_pods = ["--namespace", "serveoff", "get", "pods", "--selector", f"serveoff.target={mark}", "--output", "json"]
    in_pod = ["--namespace", "serveoff", "exec"]
    fill = ["pod-1", "--container", "fill", "--"]
    told = [
        ["version", "--request-timeout=5s"],
        ["get", "namespace", "serveoff"],
        ["--namespace", "serveoff", "apply", "--kustomize", str(work / "kubernetes")],
        get_pods,
        [*in_pod, "--stdin", *fill, "sh", "-c", "mkdir -p /fill/store && tar -x -f - -C /fill/store"],
        [*in_pod, *fill, "touch", "/fill/.filled"],
        get_pods,
    ]
    port = target.endpoints[0].port
    assert LAUNCHER.alive(target)
    assert [call for call in cluster.calls if "port-forward" in call] == [
        ["--namespace", "serveoff", "port-forward", "--address", "127.0.0.1", "pod/pod-1", f"{port}:8080"]
    ]
    assert [call for call in cluster.calls if "port-forward" not in call] == [*told, get_pods]
    assert received(cluster) == {"./1/model": (0, 0o644)}
    assert (target.launcher, target.container) == ("kubernetes", f"serveoff/tfserving-server-{mark}")
    assert (work / "kubernetes" / "files" / "told.txt").read_text() == "port 8080, {not.a.slot}"
    LAUNCHER.stop(target)


def test_another_namespace_is_made_where_it_is_not_there(
    cluster: RecordedTool, start: Callable[[], Target], monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    monkeypatch.setenv(kubernetes.NAMESPACE_VARIABLE, "mine")
    cluster.answer([{"to": ["get", "namespace"], "err": 'Error from server (NotFound): namespaces "mine" not found', "code": 1}, *GOOD])
    target = start()
    assert ["create", "namespace", "mine"] in cluster.calls
    assert target.container is not None
    assert target.container.startswith("mine/")
    assert json.loads((Path(target.log).parent / "kubernetes" / "kustomization.yaml").read_text())["namespace"] == "mine"
    cluster.answer([{"to": ["namespace"], "err": "Error from server (Forbidden): you may not", "code": 1}])
    with pytest.raises(MissingToolError, match=r"no namespace mine, and kubectl could not create it: Error from server \(Forbidden\)"):
        start()
    LAUNCHER.stop(target)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (
            pods(init={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}),
            MissingToolError,
            "cannot have the image: example/server:1.2: ImagePullBackOff: Back-off pulling image",
        ),
        (
            pods(server({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), init={"terminated": {"exitCode": 0}}),
            NotReadyError,
            "the pod pod-1 was ended by SIGKILL, exit 137 .*, OOMKilled",
        ),
        (
            pods(server({"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "given" not found'}})),
            NotReadyError,
            'cannot start: CreateContainerConfigError: configmap "given" not found',
        ),
        (
            pods(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
            NotReadyError,
            "was ended by the cluster: Evicted: The node was low on resource: memory",
        ),
    ],
)
def test_a_pod_that_does_not_come_up_says_why_and_is_deleted(
    cluster: RecordedTool, start: Callable[[], Target], said: str, error: type[ServeoffError], words: str
) -> None:
    cluster.answer([{"to": ["get", "pods"], "out": said}, {"to": ["logs"], "out": "its last words\n"}])
    with pytest.raises(error, match=words) as caught:
        start()
    assert error is MissingToolError or caught.value.message.endswith("its last words")
    assert "delete" in cluster.calls[-1]


@pytest.mark.parametrize(
    ("pods_said", "deployments_said", "words"),
    [
        (
            pods(
                init={"waiting": {}},
                conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}],
            ),
            NO_PODS,
            "Unschedulable: 0/1 nodes are available",
        ),
        (
            NO_PODS,
            '{"items": [{"status": {"conditions": [{"type": "ReplicaFailure", "message": "exceeded quota: small"}]}}]}',
            "exceeded quota: small",
        ),
        (NO_PODS, NO_PODS, "the cluster made no pod"),
    ],
)
def test_a_pod_that_never_starts_says_what_it_waits_for(
    cluster: RecordedTool, start: Callable[[], Target], monkeypatch: pytest.MonkeyPatch, pods_said: str, deployments_said: str, words: str
) -> None:
    monkeypatch.setattr(kubernetes, "_PULL_S", 0.0)
    cluster.answer([{"to": ["get", "pods"], "out": pods_said}, {"to": ["get", "deployment"], "out": deployments_said}])
    with pytest.raises(NotReadyError, match=f"no pod was ready after 0 s: {words}"):
        start()
    assert "delete" in cluster.calls[-1]


def test_a_model_that_cannot_be_sent_says_why(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    cluster.answer([{"to": ["exec", "--stdin"], "err": "error: unable to upgrade connection: Forbidden\n", "code": 1}, *GOOD])
    with pytest.raises(NotReadyError, match="could not be copied into the pod pod-1: error: unable to upgrade connection: Forbidden"):
        start()


def test_a_refused_manifest_says_why_and_how_to_try_by_hand(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    cluster.answer([{"to": ["apply"], "err": "error: deployments.apps is forbidden\n", "code": 1}])
    with pytest.raises(NotReadyError, match=r"kubectl failed: error: deployments.apps is forbidden") as e:
        start()
    assert e.value.hint.startswith("try it by hand: kubectl --namespace serveoff apply --kustomize ")


def test_a_server_that_the_cluster_started_again_is_dead_and_says_how_it_ended(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    target = start()
    again = server({"running": {}}, ready=True, restartCount=1, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    cluster.answer([{"to": ["get", "pods"], "out": pods(again)}, {"to": ["logs", "--previous"], "out": "loading\nout of memory error\n"}])
    assert not LAUNCHER.alive(target)
    reason = LAUNCHER.exit_reason(target)
    assert "SIGKILL, exit 137" in reason
    assert "OOMKilled" in reason
    assert reason.endswith("  out of memory error")
    cluster.answer([{"to": ["get", "pods"], "out": NO_PODS}])
    assert LAUNCHER.exit_reason(target).startswith("is gone: its pod was deleted")
    LAUNCHER.stop(target)


def test_a_port_forward_that_ended_is_told_apart_from_the_server(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    cluster.answer([{"to": ["port-forward"], "err": "error: lost connection to pod\n", "code": 1}, *GOOD])
    target = start()
    while process.find(target.pid or 0, target.pid_started_at) is not None:
        pass
    assert not LAUNCHER.alive(target)
    assert "runs, but its `kubectl port-forward` ended" in LAUNCHER.exit_reason(target)
    assert "error: lost connection to pod" in LAUNCHER.exit_reason(target)


def test_stop_deletes_by_label_and_ends_the_port_forward(cluster: RecordedTool, start: Callable[[], Target], workspace: Workspace) -> None:
    target = start()
    LAUNCHER.stop(target)
    label = f"serveoff.target={_overlay.mark(target.id, workspace.root)}"
    what = ["--namespace", "serveoff", "delete", kubernetes.KINDS, "--selector", label]
    assert cluster.calls[-1] == [*what, "--ignore-not-found", "--cascade=foreground", "--timeout=120s"]
    assert not LAUNCHER.alive(target)
    cluster.answer([{"to": ["delete"], "err": "error: timed out waiting for the condition\n", "code": 1}])
    with pytest.raises(NotReadyError, match=rf"could not delete what is labelled {label}: error: timed out"):
        LAUNCHER.stop(target)


def test_without_a_cluster_a_recorded_target_is_out_of_reach_and_blocks_nothing(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    target = start()
    cluster.answer([{"to": [], "err": "The connection to the server was refused\n", "code": 1}])
    assert not LAUNCHER.alive(target)
    assert LAUNCHER.exit_reason(target).startswith("is out of reach: no Kubernetes cluster answers kubectl (The connection")
    with pytest.raises(MissingToolError, match="could not be stopped: no Kubernetes cluster answers") as e:
        LAUNCHER.stop(target)
    assert f"delete {Path(target.log).parent}" in e.value.hint


def test_sweep_asks_only_where_a_target_was_in_a_cluster_and_finds_it_by_its_label(cluster: RecordedTool, workspace: Workspace) -> None:
    assert LAUNCHER.sweep(workspace.root) == []
    assert cluster.calls == []
    (workspace.targets / "double@tfserving.kubernetes").mkdir(parents=True)
    cluster.answer([{"to": ["get", "deployment"], "out": "deployment.apps/tfserving-server-1\n"}])
    assert LAUNCHER.sweep(workspace.root) == ["deployment.apps/tfserving-server-1 of the namespace serveoff"]
    label = f"serveoff.workspace={_overlay.digest(str(workspace.root))}"
    assert cluster.calls[-1][2:6] == ["delete", kubernetes.KINDS, "--selector", label]


def test_what_a_cluster_cannot_do_is_refused_in_one_sentence(cluster: RecordedTool, start: Callable[[], Target]) -> None:
    target = start()
    with pytest.raises(ServeoffError, match="cannot be paused: Kubernetes pauses no pod"):
        LAUNCHER.pause(target)
    with pytest.raises(ServeoffError, match="cannot be pinned to cores: its cluster places it"):
        LAUNCHER.pin(target, (0,))
    assert LAUNCHER.processes(target) is None
    LAUNCHER.stop(target)


def test_a_server_without_an_overlay_says_which_have_one(spec: LaunchSpec, tmp_path: Path) -> None:
    with pytest.raises(MissingToolError, match="tiny has no overlay in docker/kubernetes: embedded, tfserving, torchserve have one"):
        _overlay.write(tmp_path, msgspec.structs.replace(spec, server="tiny"), "serveoff", "t", tmp_path)


class TestUnavailable:
    def test_no_kubectl(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert LAUNCHER.unavailable() == "kubectl is not on PATH: install it, and name a cluster in its kubeconfig"

    def test_no_cluster(self, cluster: RecordedTool, start: Callable[[], Target]) -> None:
        cluster.answer([{"to": ["version"], "err": "The connection to the server localhost:8080 was refused\n", "code": 1}])
        reason = LAUNCHER.unavailable()
        assert reason is not None
        assert reason.startswith("no Kubernetes cluster answers kubectl (The connection to the server localhost:8080 was refused)")
        with pytest.raises(MissingToolError, match="no Kubernetes cluster answers"):
            start()

    def test_a_cluster_that_hangs(self, cluster: RecordedTool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_kubectl, "_ANSWER_S", 0.2)
        cluster.answer([{"to": ["version"], "stays_s": 30}])
        assert "no answer within 0.4 s" in str(LAUNCHER.unavailable())

    def test_a_cluster_that_answers_is_used_only_where_it_is_named(self, cluster: RecordedTool, make_artifact: MakeArtifact) -> None:
        assert LAUNCHER.unavailable() is None
        assert "kubernetes" not in matrix.PREFERRED
        named = Selection(servers=("tfserving",), launchers=("kubernetes",))
        wanted, _ = matrix.matrix(named, [make_artifact("double", "savedmodel")])
        assert [one.id for one in wanted] == ["double.pytorch.savedmodel.float32@tfserving.kubernetes"]
