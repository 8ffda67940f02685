"""What an operator uses: flags, warm-up, metrics, health, TLS, sockets, limits, start and end."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import wrappers_pb2

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

pytestmark = pytest.mark.integration


def predict_request(model: str, values: Any) -> pb.PredictRequest:
    request = pb.PredictRequest()
    request.model_spec.name = model
    tensors.write(request.inputs["x"], np.asarray(values, np.float32))
    return request


def single(start: Any, kit: Any, tmp_path: Path, model: str, *flags: str, **how: Any) -> Any:
    kit.write_model(tmp_path / model, model)
    return start(f"--model_name={model}", f"--model_base_path={tmp_path / model}", *flags, **how)


def test_metrics(start: Any, kit: Any, tmp_path: Path) -> None:
    file = tmp_path / "monitoring.txt"
    file.write_text('prometheus_config { enable: true path: "/metrics/here" }')
    server = single(start, kit, tmp_path, "half", f"--monitoring_config_file={file}")
    for body in (b'{"instances": [1]}', b'{"instances": [1]}', b"{"):
        server.post("half:predict", body)
    server.post("ghost:predict", b'{"instances": [1]}')
    server.call("PredictionService/Predict", predict_request("half", [1.0]).SerializeToString())
    status, headers, page = server.http("GET", "/metrics/here")
    assert (status, headers["content-type"]) == (200, "text/plain")
    lines = page.decode().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert ':tensorflow:serving:request_count{model_name="half",status="OK"} 3' in lines
    assert ':tensorflow:serving:request_count{model_name="half",status="INVALID_ARGUMENT"} 1' in lines
    assert ':tensorflow:serving:request_latency_count{model_name="half",API="predict",entrypoint="REST"} 2' in lines
    assert ':tensorflow:serving:request_latency_count{model_name="half",API="Predict",entrypoint="GRPC"} 1' in lines
    assert ':tensorflow:serving:runtime_latency_count{model_name="half",API="Predict",runtime="TF1"} 3' in lines
    buckets = [line for line in lines if line.startswith(":tensorflow:serving:request_latency_bucket") and "REST" in line]
    assert [line.partition('le="')[2].partition('"')[0] for line in buckets][:3] == ["10", "18", "32.4"]
    assert len(buckets) == 34
    assert buckets[-1].endswith('le="+Inf"} 2')
    assert "ghost" not in page.decode()


def test_without_the_monitoring_file_there_is_no_metrics_page(shared: Any) -> None:
    assert shared.http("GET", "/monitoring/prometheus/metrics")[0] == 404


ENGINES = pytest.mark.parametrize("engine", [(), ("--grpc_channel_arguments=grpc.keepalive_time_ms=60000",)], ids=["zttp", "grpcio"])


@ENGINES
def test_health_service(start: Any, kit: Any, tmp_path: Path, shared: Any, engine: tuple[str, ...]) -> None:
    server = single(start, kit, tmp_path, "half", "--enable_grpc_healthcheck_service", *engine)

    def check(at: Any, service: str) -> int:
        with grpc.insecure_channel(f"127.0.0.1:{at.grpc_port}") as channel:
            request = wrappers_pb2.StringValue(value=service).SerializeToString()
            reply = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=10)
            return int(wrappers_pb2.Int32Value.FromString(reply).value)

    assert [check(server, name) for name in ("", "ModelService", "PredictionService")] == [1, 1, 1]
    with pytest.raises(grpc.RpcError) as unknown:
        check(server, "tensorflow.serving.PredictionService")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as off:
        check(shared, "")
    assert off.value.code() == grpc.StatusCode.UNIMPLEMENTED
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
        assert next(watch) == b"\x08\x01"
        assert watch.is_active()  # the stream stays open ...
        assert server.stop() == 0  # ... and does not hold up the end


@ENGINES
def test_both_ways_of_speaking_grpc(start: Any, kit: Any, tmp_path: Path, engine: tuple[str, ...]) -> None:
    server = single(start, kit, tmp_path, "half", *engine)
    large = predict_request("half", np.arange(1_000_000)).SerializeToString()
    for data in (predict_request("half", [1.0]).SerializeToString(), large):
        reply = pb.PredictResponse.FromString(server.call("PredictionService/Predict", data))
        assert reply.outputs["y"].float_val[-1] == pytest.approx(2.5 if data is not large else 999_999 / 2 + 2)
    for method, code in (("PredictionService/Predict", "INVALID_ARGUMENT"), ("PredictionService/Forecast", "UNIMPLEMENTED")):
        with pytest.raises(grpc.RpcError) as caught:
            server.call(method, b"")
        assert caught.value.code().name == code


def test_messages_have_no_size_limit(shared: Any) -> None:
    values = np.arange(3_000_000, dtype=np.float32)
    reply = pb.PredictResponse.FromString(shared.call("PredictionService/Predict", predict_request("half", values).SerializeToString()))
    assert len(reply.outputs["y"].float_val) == 3_000_000
    assert reply.outputs["y"].float_val[-1] == values[-1] / 2 + 2


def test_a_deadline_ends_the_call(shared: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        shared.call("PredictionService/Predict", predict_request("slow", [3.0]).SerializeToString(), timeout_s=0.3)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    shared.call("PredictionService/Predict", predict_request("half", [1.0]).SerializeToString())


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05abc", b"hello"])
def test_bytes_that_are_no_message_are_refused(shared: Any, data: bytes) -> None:
    for method in ("PredictionService/Predict", "PredictionService/Classify", "ModelService/GetModelStatus"):
        with pytest.raises(grpc.RpcError) as caught:
            shared.call(method, data)
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


def test_an_unknown_method_is_unimplemented(shared: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        shared.call("PredictionService/Forecast", b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_replies_can_carry_raw_bytes(start: Any, kit: Any, tmp_path: Path) -> None:
    server = single(start, kit, tmp_path, "half", "--enable_serialization_as_tensor_content=true")
    reply = pb.PredictResponse.FromString(server.call("PredictionService/Predict", predict_request("half", [1.0, 2.0]).SerializeToString()))
    assert reply.outputs["y"].tensor_content == struct.pack("<2f", 2.5, 3.0)
    assert not reply.outputs["y"].float_val


def test_cors_headers_behind_their_flag(start: Any, kit: Any, tmp_path: Path) -> None:
    server = single(start, kit, tmp_path, "half", "--rest_api_enable_cors_support")
    for verb, path in (("OPTIONS", "/v1/models/half:predict"), ("GET", "/v1/models/half"), ("GET", "/v1/models/ghost")):
        headers = server.http(verb, path, None, {"Origin": "http://localhost"})[1]
        assert headers["access-control-allow-origin"] == "*"
        assert headers["access-control-allow-methods"] == "POST, GET"
        assert headers["access-control-allow-headers"] == "Content-Type"


@ENGINES
def test_a_unix_socket(start: Any, kit: Any, tmp_path: Path, engine: tuple[str, ...]) -> None:
    path = tmp_path / "socket"
    server = single(start, kit, tmp_path, "half", f"--grpc_socket_path={path}", *engine)
    assert server.versions("half") == {"1": "AVAILABLE"}
    with grpc.insecure_channel(f"unix:{path}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        reply = pb.PredictResponse.FromString(call(predict_request("half", [1.0]).SerializeToString(), timeout=10))
    assert list(reply.outputs["y"].float_val) == [2.5]


def test_tls_for_grpc(start: Any, kit: Any, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*request, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    quoted = {name: path.read_text().replace("\n", "\\n") for name, path in (("server_key", key), ("server_cert", certificate))}
    config = tmp_path / "ssl.txt"
    config.write_text("\n".join(f'{name}: "{text}"' for name, text in quoted.items()))
    server = single(start, kit, tmp_path, "half", f"--ssl_config_file={config}")
    trust = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(f"localhost:{server.grpc_port}", trust) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        reply = pb.PredictResponse.FromString(call(predict_request("half", [1.0]).SerializeToString(), timeout=20))
    assert list(reply.outputs["y"].float_val) == [2.5]


def test_the_environment_of_the_official_image(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "half", "half")
    server = start(env={"MODEL_NAME": "half", "MODEL_BASE_PATH": str(tmp_path)})
    assert server.versions("half") == {"1": "AVAILABLE"}


def test_a_missing_base_path_is_waited_for(start: Any, kit: Any, tmp_path: Path) -> None:
    server = start("--model_name=m", f"--model_base_path={tmp_path / 'm'}", wait=False)
    kit.eventually(lambda: "Could not find base path" in server.log.read_text())
    with pytest.raises(ConnectionRefusedError):
        server.get("m")
    kit.write_model(tmp_path / "m", "half")
    kit.eventually(lambda: "Exporting HTTP/REST API" in server.log.read_text())
    assert server.versions("m") == {"1": "AVAILABLE"}


def test_sigterm_while_waiting_for_a_model_ends_the_server(start: Any, kit: Any, tmp_path: Path) -> None:
    server = start("--model_name=m", f"--model_base_path={tmp_path / 'm'}", wait=False)
    kit.eventually(lambda: "Could not find base path" in server.log.read_text())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ((), 2, "--model_base_path is missing"),
        (("--model_base_path=/x", "--enable_batching=perhaps"), 2, "neither true nor false"),
        (("--model_base_path=/x", "--rest_api_timeout_in_ms=soon"), 2, "not a whole number"),
        (("--model_base_path=/x", "--batching_parameters_file=/x"), 2, "without setting --enable_batching"),
        (("--model_base_path=/x", "--tensorflow_intra_op_parallelism=2"), 2, "excludes"),
        (("--model_base_path=/x", "--saved_model_tags=gpu"), 2, "--saved_model_tags is not supported"),
        (("--model_base_path=/x", "--port=0"), 2, "nothing to listen on for gRPC"),
        (("--model_config_file=/nowhere/models.config",), 1, "NOT_FOUND"),
    ],
    ids=["no model", "bool", "number", "batching", "parallelism", "refused", "no port", "no file"],
)
def test_bad_flags_end_the_server_with_one_sentence(start: Any, flags: tuple[str, ...], code: int, words: str) -> None:
    server = start(*flags, wait=False, env={"MODEL_NAME": "", "MODEL_BASE_PATH": ""} if flags else None)
    assert server.process.wait(60) == code
    text = server.log.read_text()
    assert words in text
    assert "Traceback" not in text


def test_an_unknown_flag_is_reported_and_ignored(start: Any, kit: Any, tmp_path: Path) -> None:
    server = single(start, kit, tmp_path, "half", "--enable_bathing", "--no_such_thing=1")
    assert "unknown argument: --enable_bathing (did you mean 'enable_batching'?)" in server.log.read_text()
    assert server.versions("half") == {"1": "AVAILABLE"}


def test_a_port_in_use_is_said(start: Any, kit: Any, tmp_path: Path, shared: Any) -> None:
    for flag in (f"--rest_api_port={shared.rest_port}", f"--port={shared.grpc_port}"):
        server = single(start, kit, tmp_path / flag.strip("-"), "half", flag, wait=False)
        assert server.process.wait(60) == 1
        assert "cannot listen on" in server.log.read_text()


def test_equal_ports_leave_the_rest_api_out(start: Any, kit: Any, tmp_path: Path) -> None:
    port = kit.free_port()
    server = single(start, kit, tmp_path, "half", f"--rest_api_port={port}", f"--port={port}", wait=False)
    kit.eventually(lambda: "Running gRPC ModelServer" in server.log.read_text())
    assert "Skipped exporting HTTP/REST API" in server.log.read_text()
    server.grpc_port = port
    server.call("PredictionService/Predict", predict_request("half", [1.0]).SerializeToString())


def test_help_and_version() -> None:
    for flag, words in (("--help", "--model_config_file_poll_wait_seconds=0"), ("--version", "serveoff ")):
        done = subprocess.run([sys.executable, "-m", "serving.embedded", flag], capture_output=True, text=True, check=True, timeout=60)
        assert words in done.stdout
