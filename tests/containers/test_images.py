"""What an image promises: its size, its user, and that it starts and answers with a root file system that nobody can write to."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from serveoff import artifacts, parity, reference
from serveoff.plugins import Artifact
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from .conftest import docker

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(2400)]

LARGEST_MB = {"edge": 250, "embedded": 3500, "load": 450, "torchserve": 2000}
USERS = {"edge": "10001", "embedded": "10001", "load": "10001", "torchserve": "model-server"}
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init", "--tmpfs", "/tmp")
TF_SERVING_LIKE = ("edge", "embedded")


def test_size_and_user(images: dict[str, str]) -> None:
    assert images.keys() == LARGEST_MB.keys()
    for name, image in images.items():
        size, user = docker("image", "inspect", "--format", "{{.Size}} {{.Config.User}}", image).split()
        assert int(size) <= LARGEST_MB[name] * 1e6, f"{image} has {int(size) / 1e6:,.0f} MB"
        assert user == USERS[name]


def test_the_edge_image_has_nothing_else_of_tensorflow(images: dict[str, str]) -> None:
    listed = docker("run", "--rm", "--entrypoint", "ls", images["edge"], "/opt/serveoff/lib/python3.11/site-packages").split()
    assert "tflite_runtime" in listed
    assert not {"tensorflow", "ai_edge_litert", "torch", "onnxruntime", "pip"} & set(listed)


def test_the_load_image_has_no_framework_and_works_on_a_read_only_root(images: dict[str, str]) -> None:
    listed = docker("run", "--rm", "--entrypoint", "ls", images["load"], "/opt/serveoff/lib/python3.11/site-packages").split()
    assert {"locust", "plotly", "grpc"} <= set(listed)
    assert not {"tensorflow", "ai_edge_litert", "tflite_runtime", "torch", "onnxruntime", "ts", "pip"} & set(listed)
    told = docker("run", "--rm", *HARDENED, "--tmpfs", "/workspace:mode=1777", images["load"], "status")
    assert "Nothing is being served" in told


@contextmanager
def running(image: str, artifact: Artifact, *options: str) -> Iterator[str]:
    """The address of a container started as tensorflow/serving's documentation starts its own, on a root file system to be read only."""
    mount = f"type=bind,source={artifact.serve_dir},target=/models/{artifact.manifest.model},readonly"
    name = docker("run", "--detach", *HARDENED, *options, "--publish", "127.0.0.1::8501", "--mount", mount, image)
    try:
        yield f"http://{docker('port', name, '8501').splitlines()[0]}"
    finally:
        docker("rm", "--force", name)


def post(url: str, body: object, timeout_s: float = 90) -> dict[str, object]:
    """The JSON reply, as soon as there is one."""
    deadline = time.monotonic() + timeout_s
    request = urllib.request.Request(url, json.dumps(body).encode())
    while True:
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(request, timeout=30) as reply:
            answer: dict[str, object] = json.loads(reply.read())
            return answer
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.2)


@pytest.mark.parametrize("name", TF_SERVING_LIKE)
def test_it_starts_and_answers_as_tf_servings_image_does(name: str, images: dict[str, str], exported: Workspace) -> None:
    import numpy as np

    for artifact in artifacts.find(exported, Selection(formats=("tflite",) if name == "edge" else ())):
        inputs, wanted = reference.load(artifact.reference_file).slice(0, 3)
        with running(images[name], artifact, "--env", f"MODEL_NAME={artifact.manifest.model}") as address:
            rows = next(iter(inputs.values())).tolist()
            answer = post(f"{address}/v1/models/{artifact.manifest.model}:predict", {"instances": rows})
        output = artifact.manifest.outputs[0].name
        found = {output: np.array(answer["predictions"], np.float32)}
        checks = parity.compare(artifact.manifest.id, wanted, found, artifact.manifest.parity.tolerance)
        assert all(check.passed for check in checks), checks


def test_a_stop_is_quick_and_clean(images: dict[str, str], exported: Workspace) -> None:
    (artifact,) = artifacts.find(exported, Selection(formats=("tflite",)))
    with running(images["edge"], artifact, "--env", f"MODEL_NAME={artifact.manifest.model}", "--name", "serveoff-test-stop") as address:
        post(f"{address}/v1/models/{artifact.manifest.model}:predict", {"instances": [[[0.5] * 8] * 8]})
        docker("stop", "--time", "20", "serveoff-test-stop")
        assert docker("inspect", "--format", "{{.State.ExitCode}}", "serveoff-test-stop") == "0"
