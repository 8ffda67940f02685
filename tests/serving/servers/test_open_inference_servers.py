"""Triton and OpenVINO Model Server: exact container command lines, and the model repositories that are written for them.

No image of theirs is run here: what their tools read is checked by Triton's own schema in tests/serving/mlserver, in the slow suite.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from serveoff.contract import DType, TensorSpec
from serveoff.errors import InputError
from serveoff.launch import LaunchSpec, Readiness
from serveoff.plugins import Artifact, Metrics
from serveoff.registry import SERVERS
from serving import triton_repository
from serving.launchers import container

MakeDoubling = Callable[[str], Artifact]
TRITON, OPENVINO = SERVERS.load("triton"), SERVERS.load("openvino")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVEOFF_TRITON_IMAGE", "SERVEOFF_OPENVINO_IMAGE"):
        monkeypatch.delenv(name, raising=False)


def run_line(spec: LaunchSpec, work: Path) -> tuple[str, ...]:
    """The `docker run` line from the first published port on; ports of this host are those of the image and 20000."""
    published = {name: 20000 + port for name, port in sorted(spec.ports.items())}
    line = container.run_command("docker", "name", "id", work, spec, published, work)
    return line[line.index("--publish") :]


def files(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("server", [TRITON, OPENVINO])
def test_an_image_only_where_it_is_named(server: object) -> None:
    for one in (TRITON, OPENVINO):
        assert one.unavailable("host") == "it is an image only: serve it with Docker or Podman"
        assert not one.default


def test_openvino_has_no_image_for_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert OPENVINO.unavailable("image") is None
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert OPENVINO.unavailable("image") == "the official image is not built for aarch64: name one that is in SERVEOFF_OPENVINO_IMAGE"
    monkeypatch.setenv("SERVEOFF_OPENVINO_IMAGE", "mine:1")
    assert OPENVINO.unavailable("image") is None


def test_tritons_command_line(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRITON.formats == ("onnx", "savedmodel", "torchscript")
    artifact = make_doubling("onnx")
    spec = TRITON.launch_spec(artifact, "image", tmp_path, threads=2)
    assert run_line(spec, tmp_path) == (
        *("--publish", "127.0.0.1:28001:8001", "--publish", "127.0.0.1:28002:8002", "--publish", "127.0.0.1:28000:8000"),
        *("--mount", f"type=bind,source={tmp_path}/repository,target=/models,readonly"),
        *("--entrypoint", "tritonserver", "nvcr.io/nvidia/tritonserver:25.02-py3"),
        "--model-repository=/models",
        *("--http-address=0.0.0.0", "--http-port=8000", "--grpc-address=0.0.0.0", "--grpc-port=8001"),
        *("--metrics-address=0.0.0.0", "--metrics-port=8002"),
        *("--model-control-mode=none", "--disable-auto-complete-config", "--allow-gpu-metrics=false"),
    )
    assert spec.protocols == {"oip_rest": "rest", "oip_binary_rest": "rest", "oip_grpc": "grpc"}
    assert spec.readiness == Readiness(port="rest", path="/v2/models/doubler/ready")
    monkeypatch.setenv("SERVEOFF_TRITON_IMAGE", "mine:1")
    assert TRITON.launch_spec(artifact, "image", tmp_path, threads=2).image == "mine:1"


def test_openvinos_command_line(make_doubling: MakeDoubling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OPENVINO.formats == ("onnx", "savedmodel", "tflite")
    artifact = make_doubling("savedmodel")
    spec = OPENVINO.launch_spec(artifact, "image", tmp_path, threads=2)
    assert run_line(spec, tmp_path) == (
        *("--publish", "127.0.0.1:29000:9000", "--publish", "127.0.0.1:28000:8000"),
        *("--mount", f"type=bind,source={tmp_path}/repository/doubler,target=/models/doubler,readonly"),
        *("--entrypoint", "/ovms/bin/ovms", "openvino/model_server:2025.4"),
        *("--model_name", "doubler", "--model_path", "/models/doubler", "--target_device", "CPU"),
        *("--plugin_config", '{"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "f32"}'),
        *("--rest_bind_address", "0.0.0.0", "--rest_port", "8000", "--grpc_bind_address", "0.0.0.0", "--port", "9000"),
        *("--file_system_poll_wait_seconds", "0", "--metrics_enable"),
    )
    assert spec.protocols == {"oip_rest": "rest", "oip_binary_rest": "rest", "oip_grpc": "grpc"}
    assert spec.readiness == Readiness(port="rest", path="/v2/models/doubler/ready")
    monkeypatch.setenv("SERVEOFF_OPENVINO_IMAGE", "mine:1")
    assert OPENVINO.launch_spec(artifact, "image", tmp_path, threads=2).image == "mine:1"


@pytest.mark.parametrize(
    ("form", "where", "backend"),
    [
        (
            "onnx",
            "1/model.onnx",
            'backend: "onnxruntime"\nmax_batch_size: 0\n{tensors}'
            'parameters { key: "intra_op_thread_count" value { string_value: "2" } }\n'
            'parameters { key: "inter_op_thread_count" value { string_value: "1" } }\n',
        ),
        (
            "torchscript",
            "1/model.pt",
            'backend: "pytorch"\nmax_batch_size: 0\n{tensors}'
            'parameters { key: "INTRA_OP_THREAD_COUNT" value { string_value: "2" } }\n'
            'parameters { key: "INTER_OP_THREAD_COUNT" value { string_value: "1" } }\n',
        ),
        (
            "savedmodel",
            "1/model.savedmodel/saved_model.pb",
            'backend: "tensorflow"\nplatform: "tensorflow_savedmodel"\nmax_batch_size: 0\n{tensors}'
            'parameters { key: "TF_NUM_INTRA_THREADS" value { string_value: "2" } }\n'
            'parameters { key: "TF_NUM_INTER_THREADS" value { string_value: "1" } }\n'
            'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "serving_default" } }\n',
        ),
    ],
)
def test_tritons_repository(form: str, where: str, backend: str, make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling(form)
    tensors = (
        'input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]\n'
        'output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]\n'
        "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
    )
    for folder in ("once", "again"):
        triton_repository.write(artifact, tmp_path / folder, 2)
    written = files(tmp_path / "once")
    assert written == files(tmp_path / "again"), "the same artifact, the same bytes"
    assert set(written) == {"doubler/config.pbtxt", f"doubler/{where}"}
    assert written["doubler/config.pbtxt"].decode() == 'name: "doubler"\n' + backend.replace("{tensors}", tensors)
    assert written[f"doubler/{where}"] == (artifact.version_dir / artifact.manifest.serve_file).read_bytes()
    assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "once").rglob("*")} == {"0o755", "0o644"}


def tensor(dtype: DType, *shape: int | None) -> TensorSpec:
    return TensorSpec(name='a "b"\\', dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        *(("bool", "BOOL"), ("string", "STRING"), ("float16", "FP16"), ("float32", "FP32"), ("float64", "FP64")),
        *((f"{sign}int{bits}", f"{sign.upper()}INT{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    ],
)
def test_tritons_types(dtype: DType, kind: str, make_doubling: MakeDoubling) -> None:
    manifest = msgspec.structs.replace(make_doubling("onnx").manifest, inputs=(tensor(dtype, None),))
    line = triton_repository.configuration(manifest, 1).splitlines()[3]
    assert line == f'input [ {{ name: "a \\"b\\"\\\\" data_type: TYPE_{kind} dims: [ -1 ] }} ]'


def test_a_fixed_batch_is_written_and_a_scalar_is_refused(make_doubling: MakeDoubling) -> None:
    manifest = make_doubling("onnx").manifest
    fixed = triton_repository.configuration(msgspec.structs.replace(manifest, fixed_batch=4), 1)
    assert fixed.count("dims: [ 4, 3 ]") == 2
    with pytest.raises(InputError, match="is a scalar, which Triton takes only as a vector of one"):
        triton_repository.configuration(msgspec.structs.replace(manifest, inputs=(tensor("float32"),)), 1)


def test_triton_knows_no_json_of_half_precision(make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling("onnx")
    half = Artifact(artifact.directory, msgspec.structs.replace(artifact.manifest, outputs=(tensor("float16", None),)))
    assert set(TRITON.launch_spec(half, "image", tmp_path, threads=1).protocols) == {"oip_binary_rest", "oip_grpc"}


@pytest.mark.parametrize("form", ["onnx", "savedmodel", "tflite"])
def test_openvinos_repository(form: str, make_doubling: MakeDoubling, tmp_path: Path) -> None:
    artifact = make_doubling(form)
    for folder in ("once", "again"):
        OPENVINO.launch_spec(artifact, "image", tmp_path / folder, threads=1)
    written = files(tmp_path / "once" / "repository")
    assert written == files(tmp_path / "again" / "repository")
    names = written.pop("doubler/1/mapping_config.json", None)
    assert set(written) == {f"doubler/1/{artifact.manifest.serve_file}"}
    assert (json.loads(names) if names else None) == (
        {"inputs": {"serving_default_x:0": "x"}, "outputs": {"StatefulPartitionedCall:0": "y"}} if form == "tflite" else None
    )


def test_what_their_metrics_say_of_a_request(make_doubling: MakeDoubling) -> None:
    """Triton's page is a real one's (2.51), as the load side reads it; OpenVINO's is written after its documentation."""
    from serveoff.launch import Endpoint

    rest = Endpoint(protocol="oip_binary_rest", host="127.0.0.1", port=1, model_name="digits_cnn")
    labels = {"model": "digits_cnn", "version": "1"}
    page = Metrics(
        (
            ("nv_inference_request_success_total", labels, 9.0),
            ("nv_inference_request_duration_us_total", labels, 242799.0),
            ("nv_inference_queue_duration_us_total", labels, 30462.0),
            ("nv_inference_compute_infer_duration_us_total", labels, 198605.0),
        )
    )
    times = TRITON.times(page, rest)
    assert not isinstance(times, str)
    assert (times.requests, times.total_s, times.queue_s, times.work_s) == (9, 0.242799, 0.030462, 0.198605)
    both = [{"name": "digits_cnn", "version": "1", "interface": door} for door in ("REST", "gRPC")]
    page = Metrics(
        (
            ("ovms_request_time_us_count", both[0], 4.0),
            ("ovms_request_time_us_count", both[1], 1.0),
            ("ovms_request_time_us_sum", both[0], 800.0),
            ("ovms_request_time_us_sum", both[1], 99.0),
            ("ovms_wait_for_infer_req_time_us_sum", {"name": "digits_cnn", "version": "1"}, 40.0),
            ("ovms_inference_time_us_sum", {"name": "digits_cnn", "version": "1"}, 400.0),
        )
    )
    times = OPENVINO.times(page, rest)
    assert not isinstance(times, str)
    assert (times.requests, times.total_s, times.queue_s, times.work_s) == (4, 0.0008, 0.00004, 0.0004)
