"""What each server's errors mean: statuses and words as its source has them. The real TorchServe's are in tests/serving/torchserve."""

from __future__ import annotations

from typing import get_args

import pytest

from loadtests import meanings
from serveoff.registry import PROTOCOLS
from serveoff.results import ErrorClass

FULL = "The batch scheduling queue to which this task was submitted is full"
NO_WORKER = 'Model "m" has no worker to serve inference request. Please use scale workers API to add workers.'


@pytest.mark.parametrize("protocol", PROTOCOLS.names)
@pytest.mark.parametrize(
    ("kind", "text", "meaning"),
    [
        ("timeout", "no reply within 10 s", "timeout"),
        ("connection", "Connection refused", "refused"),
        ("connection", "No route to host", "refused"),
        ("connection", "[Errno -2] Name or service not known", "refused"),
        ("connection", "closed in the middle of a reply", "connection lost"),
        ("connection", "Connection reset by peer", "connection lost"),
        ("malformed reply", "more than one reply to one request", "server fault"),
    ],
)
def test_what_happens_to_connections_means_the_same_everywhere(protocol: str, kind: str, text: str, meaning: ErrorClass) -> None:
    assert meanings.of(PROTOCOLS.load(protocol), kind, text) == meaning


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS.names if name.endswith("_grpc")])
@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused", "refused"),
        ("Socket closed", "connection lost"),
        ("recvmsg:Connection reset by peer", "connection lost"),
        ("GOAWAY received", "connection lost"),
    ],
)
def test_a_server_that_is_not_there_is_unavailable_in_grpc(protocol: str, text: str, meaning: ErrorClass) -> None:
    assert meanings.of(PROTOCOLS.load(protocol), "grpc-UNAVAILABLE", text) == meaning


@pytest.mark.parametrize(
    ("protocol", "kind", "text", "meaning"),
    [
        (
            "oip_rest",
            "http-400",
            "{\"error\":\"unexpected shape for input 'x' for model 'm'. Expected [-1,8], got [2,9]. \"}",
            "client's fault",
        ),
        ("oip_rest", "http-404", '{"error":"Request for unknown model: \'m\' is not found"}', "client's fault"),
        ("oip_binary_rest", "http-422", '{"detail": [{"type": "missing"}]}', "client's fault"),
        ("oip_rest", "http-500", '{"error": "Worker process stopped unexpectedly with exit code -9."}', "server fault"),
        ("oip_rest", "http-503", '{"error": "Exceeds maximum queue size"}', "overload"),
        ("oip_grpc", "grpc-INVALID_ARGUMENT", "[request id: <id_unknown>] unexpected shape for input 'x'", "client's fault"),
        ("oip_grpc", "grpc-NOT_FOUND", "Request for unknown model: 'm' is not found", "client's fault"),
        ("oip_grpc", "grpc-UNAVAILABLE", "Exceeds maximum queue size", "overload"),
        ("oip_grpc", "grpc-UNAVAILABLE", "Request for unknown model: 'm' has no available versions", "server fault"),
        ("oip_grpc", "grpc-RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", "client's fault"),
        ("oip_grpc", "grpc-INTERNAL", "Worker process stopped unexpectedly", "server fault"),
        ("tfs_rest", "http-400", "{\"error\": \"Missing 'inputs' or 'instances' key\"}", "client's fault"),
        ("tfs_rest", "http-404", '{"error": "Servable not found for request: Latest(m)"}', "client's fault"),
        ("tfs_rest", "http-413", "", "client's fault"),
        ("tfs_rest", "http-501", '{"error": "type half is not implemented"}', "client's fault"),
        ("tfs_rest", "http-503", f'{{"error": "{FULL}"}}', "overload"),
        ("tfs_rest", "http-503", '{"error": "the model is being unloaded"}', "server fault"),
        ("tfs_rest", "http-429", '{"error": "OOM when allocating tensor with shape[9999]"}', "server fault"),
        ("tfs_rest", "http-500", '{"error": "internal"}', "server fault"),
        ("tfs_rest", "http-504", '{"error": "timed out"}', "timeout"),
        ("tfs_rest", "http-302", "", "server fault"),
        ("tfs_grpc", "grpc-UNAVAILABLE", FULL, "overload"),
        ("tfs_grpc", "grpc-RESOURCE_EXHAUSTED", FULL, "overload"),
        ("tfs_grpc", "grpc-RESOURCE_EXHAUSTED", "OOM when allocating tensor with shape[9999]", "server fault"),
        ("tfs_grpc", "grpc-RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 4)", "client's fault"),
        ("tfs_grpc", "grpc-INVALID_ARGUMENT", "input size does not match signature: 1!=2", "client's fault"),
        ("tfs_grpc", "grpc-FAILED_PRECONDITION", 'Serving signature key "S" not found.', "client's fault"),
        ("tfs_grpc", "grpc-NOT_FOUND", "Servable not found for request: Latest(m)", "client's fault"),
        ("tfs_grpc", "grpc-DEADLINE_EXCEEDED", "Deadline Exceeded", "timeout"),
        ("tfs_grpc", "grpc-INTERNAL", "", "server fault"),
        ("tfs_grpc", "grpc-UNKNOWN", "", "server fault"),
        ("torchserve_rest", "http-400", '{"code": 400, "type": "BadRequest", "message": "no rows"}', "client's fault"),
        (
            "torchserve_rest",
            "http-404",
            '{"code": 404, "message": "Model not found: x"}',
            "client's fault",
        ),
        ("torchserve_rest", "http-503", f'{{"code": 503, "type": "ServiceUnavailableException", "message": "{NO_WORKER}"}}', "overload"),
        ("torchserve_rest", "http-503", '{"code": 503, "message": "Prediction failed"}', "server fault"),
        ("torchserve_rest", "http-500", '{"code": 500, "type": "InternalServerException", "message": "Worker died."}', "server fault"),
        ("torchserve_rest", "http-507", '{"message": "Out of memory"}', "server fault"),
        ("torchserve_rest", "http-408", "", "timeout"),
        ("torchserve_grpc", "grpc-INTERNAL", f"{NO_WORKER}\nInternalServerException.()", "overload"),
        (
            "torchserve_grpc",
            "grpc-INTERNAL",
            "Model not found: x\nModelNotFoundException",
            "client's fault",
        ),
        ("torchserve_grpc", "grpc-INTERNAL", "Model version: 9 does not exist for model: x", "client's fault"),
        ("torchserve_grpc", "grpc-INTERNAL", "Worker died.\norg.pytorch.serve.http.InternalServerException", "server fault"),
        ("torchserve_grpc", "grpc-UNAVAILABLE", "Prediction failed\norg.pytorch.serve.http.InternalServerException", "server fault"),
        ("torchserve_grpc", "grpc-INVALID_ARGUMENT", "no rows\norg.pytorch.serve.http.InternalServerException", "client's fault"),
    ],
)
def test_the_words_decide_where_a_status_has_several_meanings(protocol: str, kind: str, text: str, meaning: ErrorClass) -> None:
    assert meaning in get_args(ErrorClass)
    assert meanings.of(PROTOCOLS.load(protocol), kind, text) == meaning
