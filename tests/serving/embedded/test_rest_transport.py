"""HTTP itself: bodies in every wrapping, headers, connections, CORS."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PATH = "/v1/models/half:predict"
BODY = b'{"instances": [1.0]}'
ANSWER = {"predictions": [2.5]}


def test_a_gzip_body_is_unpacked(shared: Any) -> None:
    status, _, reply = shared.http("POST", PATH, gzip.compress(BODY), {"Content-Encoding": "gzip"})
    assert (status, json.loads(reply)) == (200, ANSWER)


@pytest.mark.parametrize("body", [BODY, gzip.compress(BODY)[:-9], b"", gzip.compress(BODY)[:8]], ids=["plain", "cut", "empty", "head"])
def test_a_gzip_body_that_does_not_unpack_counts_as_empty(shared: Any, body: bytes) -> None:
    status, _, reply = shared.http("POST", PATH, body, {"Content-Encoding": "gzip"})
    assert (status, json.loads(reply)) == (400, {"error": "JSON Parse error: The document is empty"})


def test_a_gzip_bomb_counts_as_empty(shared: Any) -> None:
    bomb = gzip.compress(b'{"x": "' + b" " * (101 * 1024 * 1024) + b'"}', 9)
    status, _, reply = shared.http("POST", PATH, bomb, {"Content-Encoding": "gzip"})
    assert (status, json.loads(reply)) == (400, {"error": "JSON Parse error: The document is empty"})


def test_a_chunked_body_is_put_together(shared: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.rest_port, timeout=30)
    connection.request("POST", PATH, iter([BODY[:5], BODY[5:9], BODY[9:]]), encode_chunked=True)
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())) == (200, ANSWER)
    connection.close()


def test_a_large_tensor_goes_both_ways(shared: Any) -> None:
    values = [i / 7 for i in range(300_000)]
    status, reply = shared.post("half:predict", json.dumps({"instances": values}).encode())
    assert status == 200
    assert len(reply["predictions"]) == 300_000
    assert reply["predictions"][299_999] == pytest.approx(299_999 / 14 + 2, rel=1e-6)


def test_a_connection_serves_many_requests_good_and_bad(shared: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.rest_port, timeout=30)
    for _ in range(3):
        for body, expected in ((BODY, 200), (b"{", 400), (b"", 400)):
            connection.request("POST", PATH, body)
            reply = connection.getresponse()
            reply.read()
            assert reply.status == expected
            assert not reply.will_close
    connection.close()


def test_pipelined_requests_are_answered_in_order(shared: Any) -> None:
    def request(value: int) -> bytes:
        body = b'{"instances": [%d]}' % value
        return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (PATH.encode(), len(body), body)

    with socket.create_connection(("127.0.0.1", shared.rest_port), timeout=30) as connection:
        connection.sendall(request(2) + request(4) + request(6))
        data = b""
        while data.count(b"predictions") < 3 or not data.endswith(b"}"):
            part = connection.recv(65536)
            assert part, data
            data += part
    assert data.index(b"[3.0") < data.index(b"[4.0") < data.index(b"[5.0")


def test_what_is_not_http_gets_400_and_the_server_lives(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.rest_port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert shared.post("half:predict", BODY) == (200, ANSWER)


def test_a_client_that_leaves_in_the_middle_harms_nobody(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.rest_port), timeout=30) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{" % PATH.encode())
    assert shared.post("half:predict", BODY) == (200, ANSWER)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_content_type_and_accept_are_not_looked_at(shared: Any, kind: str) -> None:
    status, headers, reply = shared.http("POST", PATH, BODY, {"Content-Type": kind, "Accept": "text/html", "Accept-Encoding": "gzip"})
    assert (status, headers["content-type"], json.loads(reply)) == (200, "application/json", ANSWER)
    assert "content-encoding" not in headers


@pytest.mark.parametrize(("origin", "status"), [("http://example.com", 200), ("https://example.com", 200), ("example.com", 400), ("", 400)])
def test_options(shared: Any, origin: str, status: int) -> None:
    assert shared.http("OPTIONS", PATH, None, {"Origin": origin})[::2] == (status, b"")
    assert "access-control-allow-origin" not in shared.http("OPTIONS", PATH, None, {"Origin": origin})[1]


def test_status_reply(shared: Any) -> None:
    assert shared.get("half") == (
        200,
        {
            "model_version_status": [
                {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}} for version in ("7", "5")
            ]
        },
    )
    assert [row["version"] for row in shared.get("half/versions/5")[1]["model_version_status"]] == ["5"]
    assert [row["version"] for row in shared.get("half/labels/canary")[1]["model_version_status"]] == ["7", "5"]


def test_metadata_reply(shared: Any) -> None:
    status, reply = shared.get("two/metadata")
    assert status == 200
    assert reply["model_spec"] == {"name": "two", "signature_name": "", "version": "1"}
    definition = reply["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert definition == {
        "inputs": {n: {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": n} for n in ("a", "b")},
        "outputs": {"sum": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "sum"}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert shared.get("half/labels/stable/metadata")[1]["model_spec"]["version"] == "7"
    assert shared.get("half/versions/5/metadata")[1]["model_spec"]["version"] == "5"


def test_a_long_strange_body_does_not_hold_up_others(shared: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.rest_port, timeout=100)
    connection.request("POST", PATH, b'{"instances": [1], "x": ' + b"[" * 700_000 + b"]" * 700_000 + b"} and more")
    for _ in range(20):
        assert shared.post("half:predict", BODY) == (200, ANSWER)
    connection.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        connection.sock.recv(1)  # it is still being read
    connection.sock.setblocking(True)
    reply = connection.getresponse()
    assert (reply.status, json.loads(reply.read())) == (200, ANSWER)
    connection.close()


def test_long_bodies_that_need_the_exact_reader(shared: Any) -> None:
    texts = [f"naïve \\u00e9 {i}" for i in range(8000)]
    status, reply = shared.post("texts:predict", json.dumps({"instances": [{"s": text} for text in texts]}).encode())
    assert (status, reply) == (200, {"predictions": texts})
    status, reply = shared.post("half:predict", json.dumps({"instances": [*range(20_000), "x"]}).encode())
    assert (status, reply["error"].startswith("Failed to process element: 20000 of 'instances' list.")) == (400, True)
    values = [float("nan"), *map(float, range(20_000))]
    assert shared.post("half:predict", json.dumps({"instances": values}).encode())[0] == 200
    status, reply = shared.post("ghost:predict", json.dumps({"instances": values}).encode())
    assert (status, reply) == (404, {"error": "Servable not found for request: Latest(ghost)"})
