"""docker/kubernetes: every kustomization is built by the real `kubectl kustomize`, and validated offline against Kubernetes' schemas."""

from __future__ import annotations

import copy
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from serveoff.launch import LaunchSpec
from serveoff.plugins import Artifact
from serveoff.registry import CODE_ROOT, SERVERS
from serving.launchers import _overlay, _slots
from serving.servers import _own_image, tfserving, torchserve

ROOT = CODE_ROOT / "docker" / "kubernetes"
OVERLAYS = sorted(path.parent for path in ROOT.glob("overlays/*/kustomization.yaml"))
ALL = [ROOT / "base" / "workspace", *OVERLAYS]
RUN = ROOT / "overlays" / "run"
IMAGES = {"tfserving": tfserving.IMAGE, "torchserve": torchserve.IMAGE, "embedded": _own_image.name("embedded")}
FORMATS = {"tfserving": "savedmodel", "torchserve": "torchscript", "embedded": "onnx"}
MANAGEMENT = {8081, 7071}
VERSIONS = ("1.31", "1.37")
"""The oldest that has all we use (pod failure policies), and the newest with a schema."""
# `openapi_types` of V1beta1PredictorSpec and V1beta1ModelSpec in the package kserve 0.21, what we use of them.
KSERVE_PREDICTOR = {"minReplicas", "maxReplicas", "automountServiceAccountToken", "model"}
KSERVE_MODEL = {"modelFormat", "runtime", "protocolVersion", "storageUri", "resources"}
KSERVE_RUNTIMES = {"kserve-tensorflow-serving": ("tensorflow", "v1"), "kserve-openvino": ("onnx", "v2")}
"""config/runtimes of KServe: runtime -> the format and the protocol that it has, among others."""

MakeArtifact = Callable[..., Artifact]
Resource = dict[str, Any]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH, so no overlay can be built (CI has it)")


@functools.cache
def built(directory: Path) -> tuple[Resource, ...]:
    done = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def kinds(resources: tuple[Resource, ...], *wanted: str) -> list[Resource]:
    return [one for one in resources if one["kind"] in wanted]


def pods(resources: tuple[Resource, ...]) -> Iterator[tuple[str, Resource]]:
    """(name, pod spec) of whatever runs."""
    for one in kinds(resources, "Pod", "Deployment", "Job"):
        yield one["metadata"]["name"], one["spec"] if one["kind"] == "Pod" else one["spec"]["template"]["spec"]


def container(resources: tuple[Resource, ...], name: str) -> Resource:
    spec = next(spec for pod, spec in pods(resources) if pod.startswith(f"{name}-server"))
    found: Resource = next(one for one in spec["containers"] if one["name"] == "server")
    return found


def validate(resource: Resource) -> None:
    _validate(json.dumps(resource))


@functools.cache
def _validate(resource: str) -> None:
    """Once for what stands in several overlays."""
    for version in VERSIONS:
        kubernetes_validate.validate(json.loads(resource), version, strict=True)


@pytest.fixture
def launch_spec(make_artifact: MakeArtifact, tmp_path: Path) -> Callable[[str], LaunchSpec]:
    """The spec from which the server's image is run elsewhere, for an artifact `digits_cnn` and two threads."""

    def make(server: str) -> LaunchSpec:
        return SERVERS.load(server).launch_spec(make_artifact("digits_cnn", FORMATS[server]), "image", tmp_path / server, 2)

    return make


def test_every_part_is_there() -> None:
    assert {path.name for path in OVERLAYS} == {"autoscaled", "embedded", "kserve", "run", "tfserving", "torchserve"}


@pytest.mark.parametrize("directory", ALL, ids=lambda path: path.name)
def test_it_validates_against_the_schemas(directory: Path) -> None:
    for resource in built(directory):
        if resource["kind"] != "InferenceService":
            validate(resource)


def test_the_schemas_refuse_what_is_wrong() -> None:
    resource = copy.deepcopy(kinds(built(RUN), "Deployment")[0])
    resource["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    with pytest.raises(kubernetes_validate.utils.ValidationError, match="imagePolicy"):
        validate(resource)


@pytest.mark.parametrize("directory", ALL, ids=lambda path: path.name)
def test_no_pod_may_do_more_than_it_must(directory: Path) -> None:
    for name, pod in pods(built(directory)):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert all({"emptyDir", "configMap", "persistentVolumeClaim"} & volume.keys() for volume in pod["volumes"]), name
        for one in (*pod["containers"], *pod.get("initContainers", ())):
            expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert one["securityContext"] == expected, name
            assert one["resources"]["requests"] == one["resources"]["limits"], name
            assert one["resources"]["limits"].keys() == {"cpu", "memory"}, name
            assert one.get("imagePullPolicy") == ("Never" if one["image"].startswith("serveoff/") else None), name
            assert not [port for port in one.get("ports", ()) if port["containerPort"] in MANAGEMENT or "hostPort" in port], name


@pytest.mark.parametrize("directory", ALL, ids=lambda path: path.name)
def test_services_stay_inside_and_show_no_management(directory: Path) -> None:
    for service in kinds(built(directory), "Service"):
        assert service["spec"]["type"] == "ClusterIP"
        assert not MANAGEMENT & {port["port"] for port in service["spec"]["ports"]}
        assert all(isinstance(port["targetPort"], str) for port in service["spec"]["ports"]), "a port's name, which the pod declares"


@pytest.mark.parametrize("directory", [RUN, ROOT / "overlays" / "autoscaled"], ids=lambda path: path.name)
def test_all_servers_have_equal_means(directory: Path) -> None:
    means = {json.dumps(container(built(directory), server)["resources"], sort_keys=True) for server in IMAGES}
    assert len(means) == 1
    replicas = {(h["spec"]["minReplicas"], h["spec"]["maxReplicas"]) for h in kinds(built(directory), "HorizontalPodAutoscaler")}
    assert replicas == ({(1, 1)} if directory == RUN else {(2, 8)})
    assert not [one for one in kinds(built(directory), "Deployment") if "server" in one["metadata"]["name"] and "replicas" in one["spec"]]


@pytest.mark.parametrize("server", IMAGES)
def test_a_server_has_its_probes_and_its_pinned_image(server: str) -> None:
    one = container(built(ROOT / "overlays" / server), server)
    assert one["image"] == IMAGES[server]
    told = " ".join(one["readinessProbe"]["exec"]["command"])
    assert one["startupProbe"]["exec"] == one["readinessProbe"]["exec"]
    assert "/models/%s" in told, "TorchServe's /ping is Healthy before a model is loaded"
    assert one["livenessProbe"]["tcpSocket"] == {"port": "rest"}


@pytest.mark.parametrize(
    ("server", "said", "passes"),
    [
        ("tfserving", '"state": "AVAILABLE"', True),
        ("tfserving", '"state": "LOADING"', False),
        ("embedded", '"state": "UNAVAILABLE"', False),
        ("torchserve", '"status": "READY"', True),
        ("torchserve", '"status": "UNLOADING"', False),
        ("torchserve", "", False),
    ],
)
def test_a_probe_passes_only_once_the_model_is_there(server: str, said: str, passes: bool) -> None:
    """The very command, but for its port, in a real shell."""

    class Status(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = said.encode() if self.path.endswith("/models/digits_cnn") else b"another path"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Status) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        bash, option, script = container(built(ROOT / "overlays" / server), server)["readinessProbe"]["exec"]["command"]
        script = re.sub(r"(/dev/tcp/127\.0\.0\.1/)\d+", rf"\g<1>{listening.server_port}", script)
        done = subprocess.run([bash, option, script], env={"MODEL_NAME": "digits_cnn", "PATH": os.environ["PATH"]}, check=False, timeout=20)
        listening.shutdown()
    assert (done.returncode == 0) is passes


@pytest.mark.parametrize("server", IMAGES)
def test_a_server_is_run_as_its_image_is_elsewhere(server: str, launch_spec: Callable[[str], LaunchSpec]) -> None:
    resources, spec = built(ROOT / "overlays" / server), launch_spec(server)
    one, data = container(resources, server), {c["metadata"]["name"].split("-")[1]: c["data"] for c in kinds(resources, "ConfigMap")}
    inside = _overlay.slots(spec)
    if server != "torchserve":
        inside = _slots.Slots(inside.ports, {"models": "/models/served"}, inside.files, inside.work, inside.scratch, inside.host)
    assert one["command"] == [spec.entrypoint]
    args = [re.sub(r"\$\((\w+)\)", lambda match: data["model"][match[1]], word) for word in one["args"]]
    assert args == [inside.fill(word) for word in spec.argv]
    env = {e["name"]: e["value"] for e in one.get("env", ())} | {k: v for k, v in data["model"].items() if k.endswith("_NUM_THREADS")}
    assert env == {key: inside.fill(value) for key, value in spec.env.items()}
    assert data["files"] == {name: inside.fill(text) for name, text in spec.files.items()}
    wanted = {spec.ports[name] for name in (*spec.protocols.values(), spec.metrics.port if spec.metrics else "rest")}
    assert {port["containerPort"] for port in one["ports"]} == wanted
    assert {port["port"] for port in kinds(resources, "Service")[0]["spec"]["ports"]} == wanted
    assert data["model"]["MODEL_NAME"] == spec.model_name
    assert one["resources"]["limits"]["cpu"] == str(spec.threads)


def test_what_selects_pods_selects_one_servers_own() -> None:
    resources = built(RUN)
    labels = {one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"] for one in kinds(resources, "Deployment", "Job")}
    for one in kinds(resources, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec, name = one["spec"], one["metadata"]["name"]
        selector = spec.get("podSelector", spec.get("selector", {}))
        selector = selector.get("matchLabels", selector)
        chosen = {pod for pod, its in labels.items() if selector.items() <= its.items()}
        expected = {"locust-master": {"loadtest"}, "load": {"loadtest", "locust-worker"}}.get(name, {name})
        assert chosen == expected, (one["kind"], name)


def test_servers_are_reached_by_load_and_by_prometheus_only() -> None:
    policies = [one for one in kinds(built(RUN), "NetworkPolicy") if one["metadata"]["name"] != "load"]
    assert len(policies) == len(IMAGES)
    for one in policies:
        (rule,) = one["spec"]["ingress"]
        chosen = [source["podSelector"]["matchExpressions"] for source in rule["from"]]
        assert [[(c["key"].rpartition("/")[2], c["operator"], c["values"]) for c in chosen_by] for chosen_by in chosen] == [
            [("component", "In", ["load"])],
            [("name", "In", ["prometheus"])],
        ]
        assert {port["port"] for port in rule["ports"]} <= {"rest", "grpc", "metrics"}
        assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert "egress" not in one["spec"], "a server calls nobody"


def test_the_master_is_reached_by_workers_only_and_on_every_port() -> None:
    """The null server of `loadtests.calibration` listens on a free one; a service with an address of its own would not forward it."""
    (policy,) = (one for one in kinds(built(RUN), "NetworkPolicy") if one["metadata"]["name"] == "load")
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "locust-worker"}}}]}]
    master = next(one for one in kinds(built(RUN), "Service") if one["metadata"]["name"] == "locust-master")
    assert master["spec"]["clusterIP"] == "None"


def test_the_run_attaches_what_is_served_and_waits_for_all_workers() -> None:
    resources = built(RUN)
    job = kinds(resources, "Job")[0]["spec"]["template"]["spec"]["containers"][0]
    (script,) = job["args"]
    services = {one["metadata"]["name"] for one in kinds(resources, "Service")}
    places = dict(re.findall(r"--at (\w+)=([\w./-]+)", script))
    assert places.keys() == IMAGES.keys()
    for server, place in places.items():
        host, _, artifact = place.partition("/")
        model = next(c["data"] for c in kinds(resources, "ConfigMap") if c["metadata"]["name"].startswith(f"{server}-model"))
        assert host in services
        assert artifact == model["ARTIFACT"]
        assert artifact.split(".")[2] == FORMATS[server]
    workers = next(one for one in kinds(resources, "Deployment") if one["metadata"]["name"] == "locust-worker")
    assert f"--workers {workers['spec']['replicas']} " in script
    assert workers["spec"]["template"]["spec"]["containers"][0]["args"] == ["load-worker", "--master", "locust-master:5557"]
    assert "--threads 2" in script


def test_all_use_the_volume_that_is_filled_and_only_the_run_writes_into_it() -> None:
    (claim,) = kinds(built(ROOT / "base" / "workspace"), "PersistentVolumeClaim")
    writers = set()
    for name, pod in (*pods(built(ROOT / "base" / "workspace")), *pods(built(RUN))):
        for volume in pod["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
                writers |= set() if volume["persistentVolumeClaim"].get("readOnly") else {name}
    assert writers == {"fill", "loadtest"}


def test_kserve_is_given_fields_that_it_has_and_formats_that_its_runtimes_take() -> None:
    claim = kinds(built(ROOT / "base" / "workspace"), "PersistentVolumeClaim")[0]["metadata"]["name"]
    means = container(built(RUN), "tfserving")["resources"]
    runtimes = set()
    for one in built(ROOT / "overlays" / "kserve"):
        assert (one["apiVersion"], one["kind"], one["spec"].keys()) == ("serving.kserve.io/v1beta1", "InferenceService", {"predictor"})
        predictor, model = one["spec"]["predictor"], one["spec"]["predictor"]["model"]
        assert predictor.keys() <= KSERVE_PREDICTOR
        assert model.keys() == KSERVE_MODEL
        assert (model["modelFormat"]["name"], model["protocolVersion"]) == KSERVE_RUNTIMES[model["runtime"]]
        assert re.fullmatch(rf"pvc://{claim}/artifacts/digits_cnn\.[\w.]+\.float32/serve", model["storageUri"])
        assert model["resources"] == means
        runtimes.add(model["runtime"])
    assert runtimes == KSERVE_RUNTIMES.keys()


def test_the_overlay_for_a_registry_of_ones_own_is_as_the_docs_say(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"(?m)^      resources: .*\n(?:      .*\n)+", (CODE_ROOT / "docs" / "kubernetes.md").read_text())
    (tmp_path / "kustomization.yaml").write_text(snippet.replace("../docker", os.path.relpath(CODE_ROOT / "docker", tmp_path.resolve())))
    found = [one for _, pod in pods(built(tmp_path)) for one in (*pod["containers"], *pod.get("initContainers", ()))]
    assert not [one["image"] for one in found if one["image"].startswith("serveoff/")]
    assert {one["imagePullPolicy"] for one in found} == {"IfNotPresent"}


@pytest.mark.parametrize("server", IMAGES)
def test_what_the_launcher_applies_is_the_servers_overlay_for_its_spec(
    server: str, launch_spec: Callable[[str], LaunchSpec], tmp_path: Path
) -> None:
    spec, directory = msgspec.structs.replace(launch_spec(server), image="registry.example/it:1"), tmp_path / "kubernetes"
    inside = _overlay.slots(spec)
    _slots.write_files(spec, inside, directory / "files")
    _overlay.write(directory, spec, "mine", "id@x.kubernetes", tmp_path)
    resources, labels = built(directory), _overlay.labels("id@x.kubernetes", tmp_path)
    for resource in resources:
        validate(resource)
        assert resource["metadata"]["namespace"] == "mine"
        assert resource["metadata"]["name"].count(labels["serveoff.target"]) == 1
        assert labels.items() <= resource["metadata"]["labels"].items()
    assert {one["kind"] for one in resources} == {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"}
    (deployment,) = kinds(resources, "Deployment")
    assert deployment["metadata"]["name"] == f"{server}-server-{labels['serveoff.target']}"
    pod = deployment["spec"]["template"]["spec"]
    one, base = pod["containers"][0], container(built(ROOT / "overlays" / server), server)
    assert (one["image"], one["imagePullPolicy"]) == ("registry.example/it:1", "IfNotPresent")
    assert one["args"] == [inside.fill(word) for word in spec.argv]
    assert spec.env.keys() | {"MODEL_NAME"} == {e["name"] for e in one["env"]}
    for same in ("resources", "securityContext", "readinessProbe", "startupProbe", "livenessProbe", "ports"):
        assert one[same] == base[same]
    (mount,) = spec.mounts.items()
    assert {"name": "workspace", "mountPath": mount[1].container_path, "subPath": mount[0], "readOnly": True} in one["volumeMounts"]
    given = next(c for c in kinds(resources, "ConfigMap") if c["metadata"]["name"].startswith("given-"))
    assert given["data"] == {name: inside.fill(text) for name, text in spec.files.items()}
    assert {"name": "files", "configMap": {"name": given["metadata"]["name"]}} in pod["volumes"]
    assert [one["name"] for one in pod["initContainers"]] == ["fill"]
