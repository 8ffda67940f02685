"""What servers say of themselves: the pages of each kind, and what two of them make together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from loadtests import server_side
from loadtests.server_side import AFTER, BEFORE, SilentError, between
from serveoff.launch import Target

if TYPE_CHECKING:
    from .conftest import MakeTarget

TFS = """# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{{model_name="m",API="predict",entrypoint="REST",le="10"}} 0
:tensorflow:serving:request_latency_bucket{{model_name="m",API="predict",entrypoint="REST",le="+Inf"}} {rest}
:tensorflow:serving:request_latency_sum{{model_name="m",API="predict",entrypoint="REST"}} {rest_us}
:tensorflow:serving:request_latency_count{{model_name="m",API="predict",entrypoint="REST"}} {rest}
:tensorflow:serving:request_latency_sum{{model_name="m",API="Predict",entrypoint="GRPC"}} 9000
:tensorflow:serving:request_latency_count{{model_name="m",API="Predict",entrypoint="GRPC"}} 9
# TYPE :tensorflow:serving:runtime_latency histogram
:tensorflow:serving:runtime_latency_bucket{{model_name="m",API="predict",runtime="TF1",le="+Inf"}} {rest}
:tensorflow:serving:runtime_latency_sum{{model_name="m",API="predict",runtime="TF1"}} {runtime_us}
:tensorflow:serving:runtime_latency_count{{model_name="m",API="predict",runtime="TF1"}} {rest}
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{{model_name="m",status="OK"}} {rest}
"""
TORCHSERVE = """# HELP ts_inference_requests_total Torchserve prometheus counter metric with unit: Count
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{{model_name="m",model_version="default",hostname="h",}} {n}
# HELP ts_inference_latency_microseconds Torchserve prometheus counter metric with unit: Microseconds
# TYPE ts_inference_latency_microseconds counter
ts_inference_latency_microseconds{{model_name="m",model_version="default",hostname="h",}} {total_us}
# HELP ts_queue_latency_microseconds Torchserve prometheus counter metric with unit: Microseconds
# TYPE ts_queue_latency_microseconds counter
ts_queue_latency_microseconds{{model_name="m",model_version="default",hostname="h",}} {queue_us}
# HELP QueueTime Torchserve prometheus gauge metric with unit: Milliseconds
# TYPE QueueTime gauge
"""


def of(target: Target, server: str) -> Target:
    return msgspec.structs.replace(target, server=server, metrics="http://127.0.0.1:1/metrics")


def write(directory: Path, before: str, after: str) -> Path:
    (directory / BEFORE).write_text(before)
    (directory / AFTER).write_text(after)
    return directory


@pytest.mark.parametrize("server", ["embedded", "tfserving"])
def test_tf_servings_page_by_protocol(make_target: MakeTarget, tmp_path: Path, server: str) -> None:
    before = TFS.format(rest=10, rest_us=50_000, runtime_us=40_000)
    directory = write(tmp_path, before, TFS.format(rest=110, rest_us=350_000, runtime_us=240_000))
    found = between(of(make_target(1), server), "tfs_rest", directory)
    assert (found.requests, found.queue_us) == (100, None)
    assert (found.total_us, found.work_us) == pytest.approx((3000, 2000))
    with pytest.raises(SilentError, match="it counted no successful request"):
        between(of(make_target(1, "tfs_grpc"), server), "tfs_grpc", directory)


def test_torchserves_page_tells_the_queue(make_target: MakeTarget, tmp_path: Path) -> None:
    before = TORCHSERVE.format(n=4.0, total_us=20_000.5, queue_us=8_000.0)
    directory = write(tmp_path, before, TORCHSERVE.format(n=54.0, total_us="2.700005E5", queue_us=58_000.0))
    found = between(of(make_target(1, "torchserve_rest"), "torchserve"), "torchserve_rest", directory)
    assert found.requests == 50
    assert (found.total_us, found.queue_us, found.work_us) == pytest.approx((5000, 1000, 4000))


def test_a_page_before_the_first_request_says_nothing_yet(make_target: MakeTarget, tmp_path: Path) -> None:
    directory = write(tmp_path, "", TORCHSERVE.format(n=10, total_us=20_000, queue_us=8_000))
    assert between(of(make_target(1, "torchserve_rest"), "torchserve"), "torchserve_rest", directory).total_us == 2000
    with pytest.raises(SilentError, match="TorchServe counts calls over gRPC, but keeps no times of them"):
        between(of(make_target(1, "torchserve_grpc"), "torchserve"), "torchserve_grpc", directory)


def test_silence_has_a_reason(make_target: MakeTarget, tmp_path: Path) -> None:
    target = make_target(1)
    with pytest.raises(SilentError, match="the server has no page of metrics"):
        between(target, "tfs_rest", tmp_path)
    with pytest.raises(SilentError, match="its metrics page gave no answer within 2 s"):
        between(of(target, "embedded"), "tfs_rest", tmp_path)
    with pytest.raises(SilentError, match="nobody asked for its metrics page after the load: the load process ended with exit code -9"):
        between(of(target, "embedded"), "tfs_rest", tmp_path, "the load process ended with exit code -9")
    with pytest.raises(SilentError, match="its metrics page cannot be read"):
        between(of(target, "embedded"), "tfs_rest", write(tmp_path, "{}{", "<html>"))


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"requests 7\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_page_is_kept_as_it_came_and_none_is_left_where_there_is_no_answer(page: str, make_target: MakeTarget, tmp_path: Path) -> None:
    target = msgspec.structs.replace(make_target(1), metrics=f"{page}/metrics")
    server_side.save(target, tmp_path / BEFORE)
    assert (tmp_path / BEFORE).read_text() == "requests 7\n"
    for url in (f"{page}/nothing-here", "http://127.0.0.1:1/metrics"):
        server_side.save(msgspec.structs.replace(target, metrics=url), tmp_path / BEFORE)
        assert not (tmp_path / BEFORE).exists(), "an older page would be taken for this one"
        (tmp_path / BEFORE).write_text("older")
