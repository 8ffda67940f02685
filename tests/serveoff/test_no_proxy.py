"""What runs on this machine is asked without a proxy, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

CALLS = {
    "livecheck": """
from serveoff import livecheck
print(livecheck.call(PROTOCOLS.load("tfs_grpc"), endpoint, b"hello", 60))
""",
    "load": """
from loadtests.locust.grpc_client import GrpcClient
payloads = type("P", (), {"bodies": [b"hello"], "path": PROTOCOLS.load("tfs_grpc").path(endpoint)})()
print(GrpcClient(endpoint, payloads, 60).call(0))
""",
}


@pytest.fixture
def port() -> Iterator[int]:
    echo = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
    handler = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", {"Predict": echo})
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    chosen = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield chosen
    server.stop(None)


@pytest.mark.parametrize("who", CALLS)
def test_grpc_does_not_ask_the_proxy(port: int, who: str) -> None:
    code = f"""
from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
endpoint = Endpoint(protocol="tfs_grpc", host="127.0.0.1", port={port}, model_name="m")
{CALLS[who]}"""
    env = {name: value for name, value in os.environ.items() if name.lower() not in ("no_proxy", "no_grpc_proxy")}
    env |= {"http_proxy": "http://127.0.0.1:1", "grpc_proxy": "http://127.0.0.1:1"}
    child = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert child.stdout.strip() == "b'hello'", child.stderr
