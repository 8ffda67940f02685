"""Requests, replies and model configurations against Triton's own client and schema, which come with MLServer's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from serveoff import reference
from serveoff.contract import Manifest
from serveoff.launch import Endpoint
from serveoff.plugins import Artifact
from serveoff.registry import PROTOCOLS
from serving import triton_repository

CHILD = Path(__file__).with_name("child_official_client.py")
pytestmark = [pytest.mark.slow, pytest.mark.integration]


def test_tritons_client_reads_and_writes_the_same_bytes(environment: Path, every_dtype: Artifact, tmp_path: Path) -> None:
    manifest, known = every_dtype.manifest, reference.load(every_dtype.reference_file)
    np.savez(
        tmp_path / "inputs.npz", allow_pickle=False, **{k: v.astype(np.bytes_) if v.dtype == object else v for k, v in known.inputs.items()}
    )
    forms = [msgspec.structs.replace(manifest, format=form, fixed_batch=4) for form in triton_repository.FORMATS]
    for one in forms:
        (tmp_path / f"config-{one.format}.pbtxt").write_text(triton_repository.configuration(one, 3))
    wires = {name: PROTOCOLS.load(name) for name in ("oip_binary_rest", "oip_grpc")}
    for name, wire in wires.items():
        door = Endpoint(protocol=name, host="127.0.0.1", port=1, model_name="every")
        (tmp_path / name).write_bytes(wire.encode(manifest, door, known.inputs))
    length = wires["oip_binary_rest"].headers((tmp_path / "oip_binary_rest").read_bytes())["Inference-Header-Content-Length"]
    (tmp_path / "oip_binary_rest.length").write_text(length)
    done = subprocess.run([str(environment), "-P", str(CHILD), str(tmp_path)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    for name, wire in wires.items():
        answer = wire.decode(manifest, (tmp_path / f"reply-{name}").read_bytes())
        assert {key: (value.dtype, value.tolist()) for key, value in answer.items()} == {
            key: (value.dtype, value.tolist()) for key, value in known.inputs.items()
        }
    read = json.loads((tmp_path / "configurations.json").read_text())
    for one in forms:
        _is_what_it_says(read[f"config-{one.format}"], one)


def _is_what_it_says(config: dict[str, object], manifest: Manifest) -> None:
    """Zero and the like are left out of the message's JSON."""
    assert config["name"] == "every"
    assert "max_batch_size" not in config
    assert "dynamic_batching" not in config
    types = {"string": "STRING", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
    for role, tensors in (("input", manifest.inputs), ("output", manifest.outputs)):
        assert config[role] == [
            {"name": t.name, "data_type": f"TYPE_{types.get(t.dtype, t.dtype.upper())}", "dims": ["4"]} for t in tensors
        ]
    assert config["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    threads = {"onnx": "intra_op_thread_count", "torchscript": "INTRA_OP_THREAD_COUNT", "savedmodel": "TF_NUM_INTRA_THREADS"}
    parameters = config["parameters"]
    assert isinstance(parameters, dict)
    assert parameters[threads[manifest.format]] == {"string_value": "3"}
