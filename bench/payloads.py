"""What is sent, as bytes: one image of a digit, and one image of 224 x 224 pixels; and whether the answers are right."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serveoff import artifacts, reference, storage
from serveoff.contract import SIGNATURE
from serveoff.errors import GateError, InputError
from serveoff.launch import Endpoint
from serveoff.plugins import Artifact, Tensors
from serveoff.registry import PROTOCOLS
from serveoff.wire import tensors, tfs_pb2
from serveoff.workspace import Workspace

ARTIFACT = "digits_cnn.keras.savedmodel.float32"
PREDICT_RPC = "/tensorflow.serving.PredictionService/Predict"
TOLERANCE = 1e-4
"""Float32 logits of the same graph differ by rounding only."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """Files of bytes to send. `digit`, `digits` (32 rows) and `image` (.npz) hold the tensors for the in-process floor."""

    rows: Path
    v2: Path
    grpc: Path
    digit: Path
    digits: Path
    image: Path
    image_grpc: Path


def digits() -> Artifact:
    """Raises InputError when it has not been exported."""
    directory = Workspace.current().artifacts / ARTIFACT
    if not (directory / artifacts.MANIFEST).is_file():
        raise InputError(f"{directory} is not there", hint="make it: `serveoff export --model digits_cnn --format savedmodel`")
    artifact = artifacts.read(directory)
    artifacts.verify(artifact)
    return artifact


def write(artifact: Artifact, directory: Path) -> Payloads:
    import numpy as np

    inputs, _ = reference.load(artifact.reference_file).slice(0, 1)
    image = {"image": np.random.default_rng(0).random((1, 224, 224, 3), np.float32)}
    endpoint = Endpoint(protocol="tfs_rest", host="127.0.0.1", port=1, model_name="digits")
    paths = Payloads(
        *(directory / name for name in ("rows.json", "v2.json", "digit.pb", "digit.npz", "digits.npz", "image.npz", "image.pb"))
    )
    storage.write_bytes(paths.rows, PROTOCOLS.load("tfs_rest").encode(artifact.manifest, endpoint, inputs))
    storage.write_bytes(paths.v2, _v2(inputs))
    for path, tensors_sent in ((paths.grpc, inputs), (paths.image_grpc, image)):
        message = _predict_request(tensors_sent)
        storage.write_bytes(path, message)
        storage.write_bytes(framed(path), b"\0" + len(message).to_bytes(4) + message)
    np.savez(paths.digit, allow_pickle=False, **inputs)
    np.savez(paths.digits, allow_pickle=False, **reference.load(artifact.reference_file).slice(0, 32)[0])
    np.savez(paths.image, allow_pickle=False, **image)
    return paths


def framed(message: Path) -> Path:
    """The same message as it goes into HTTP/2: not compressed, its length, itself."""
    return message.with_suffix(".frame")


def _v2(inputs: Tensors) -> bytes:
    """The shortest digits that come back exactly, as in the row form."""
    tensors_json = [
        {"name": name, "shape": list(array.shape), "datatype": "FP32", "data": [float(str(value)) for value in array.ravel()]}
        for name, array in inputs.items()
    ]
    return json.dumps({"inputs": tensors_json}, separators=(",", ":")).encode()


def _predict_request(inputs: Tensors) -> bytes:
    request = tfs_pb2.PredictRequest(model_spec=tfs_pb2.ModelSpec(name="digits", signature_name=SIGNATURE))
    for name, array in inputs.items():
        tensors.write(request.inputs[name], array)
    return bytes(request.SerializeToString(deterministic=True))


def check_rest(name: str, port: int, path: str, body: Path, artifact: Artifact) -> int:
    """The size of the reply. Raises GateError for an answer that is not the source model's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body.read_bytes(), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        data = reply.read()
    finally:
        connection.close()
    if reply.status != 200:
        raise GateError(f"{name} answers {reply.status}: {data[:500].decode(errors='replace')}")
    _compare(name, _logits(json.loads(data)), artifact)
    return len(data)


def _logits(reply: Mapping[str, Any]) -> Any:
    """Of a row reply or of the Open Inference Protocol's."""
    return reply["predictions"] if "predictions" in reply else reply["outputs"][0]["data"]


def check_grpc(name: str, port: int, payloads: Payloads, artifact: Artifact | None) -> None:
    """Raises GateError for a wrong answer; without an artifact the mean colour of `payloads.image` is the right one."""
    import grpc
    import numpy as np

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        body = payloads.grpc if artifact else payloads.image_grpc
        outputs = tfs_pb2.PredictResponse.FromString(channel.unary_unary(PREDICT_RPC)(body.read_bytes(), timeout=60)).outputs
    if artifact:
        _compare(name, tensors.read(outputs["logits"]), artifact)
        return
    with np.load(payloads.image) as file:
        wanted = file["image"].mean(axis=(1, 2))
    if not np.allclose(tensors.read(outputs["colour"]), wanted, atol=TOLERANCE):
        raise GateError(f"{name} answers {tensors.read(outputs['colour'])}, not {wanted}")


def _compare(name: str, answer: Any, artifact: Artifact) -> None:
    import numpy as np

    _, outputs = reference.load(artifact.reference_file).slice(0, 1)
    got = np.asarray(answer, np.float32).reshape(1, -1)
    wanted = outputs["logits"]
    if got.shape != wanted.shape or not np.allclose(got, wanted, atol=TOLERANCE):
        raise GateError(f"{name} answers {got.tolist()}, the source model {wanted.tolist()}")
