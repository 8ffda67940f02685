"""A real SavedModel, served to TensorFlow Serving's own Python stubs: an independent witness of the wire format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

CHILD = Path(__file__).with_name("child_tensorflow_client.py")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with (tmp_path / "client.log").open("w") as log:
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
    yield child
    child.kill()
    child.communicate()


def test_tensorflow_serving_s_own_client(start: Any, client: subprocess.Popen[str], tmp_path: Path) -> None:
    assert client.stdout is not None
    assert client.stdout.readline() == "made\n", (tmp_path / "client.log").read_text()
    server = start("--model_name=many", f"--model_base_path={tmp_path / 'many'}", program=None)
    assert "Finished reading warmup data" in server.log.read_text()
    seen = json.loads(client.communicate(f"{server.grpc_port}\n", timeout=120)[0] or "{}")
    assert seen, (tmp_path / "client.log").read_text()
    assert seen["predict"] == [2.5, 3.0, 4.5]
    assert seen["spec"] == {"name": "many", "version": "1", "signatureName": "serving_default"}
    assert (seen["numbers"], seen["words"]) == ([2, -1], ["two", "three"])
    assert seen["regress"] == [4.0]
    assert seen["classify"] == [["same", 4.0]]
    assert seen["multi"] == ["regression_result", "classification_result"]
    assert seen["metadata"] == seen["expected_metadata"]
    assert "__saved_model_init_op" in seen["metadata"]
    assert seen["status"] == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {}}]}
    check_rest(server)


def check_rest(server: Any) -> None:
    assert server.post("many:predict", b'{"instances": [1, 2, 5]}') == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert server.post("many:predict", b'{"inputs": [[1], [2]]}') == (200, {"outputs": [[2.5], [3.0]]})  # shapes are the kernels' affair
    rows = [{"numbers": 1, "words_bytes": {"b64": "b25l"}}]
    assert server.post("many:predict", b'{"signature_name": "look_up", "instances": ["one"]}') == (200, {"predictions": rows})
    assert server.post("many:regress", b'{"signature_name": "regress", "examples": [{"x": 4.0}]}') == (200, {"results": [4.0]})
    assert server.post("many:classify", b'{"signature_name": "classify", "examples": [{"x": 4.0}]}') == (
        200,
        {"results": [[["same", 4.0]]]},
    )
    status, reply = server.post("many:predict", b'{"signature_name": "matrix", "instances": [[1, 2, 3]]}')
    assert status == 400
    assert "Matrix size-incompatible" in reply["error"]
    status, reply = server.post("many:regress", b'{"signature_name": "regress", "examples": [{"x": 80}]}')
    assert status == 400
    assert "Data types don't match" in reply["error"]
    status, reply = server.post("many:predict", b'{"signature_name": "__saved_model_init_op", "inputs": {}}')
    assert (status, reply["error"]) == (400, "Failed to get input map for signature: __saved_model_init_op")
    status, reply = server.get("many/metadata")
    assert status == 200
    definition = reply["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["x"]["name"] == "serving_default_x:0"
