"""gRPC's transport: many streams on a connection, cancelled calls, compression, other people's bytes."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from loadtests.handover import Payloads
from loadtests.locust.calls import CallError
from loadtests.locust.grpc_client import GrpcClient
from serveoff.launch import Endpoint
from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def request(model: str, values: Any) -> bytes:
    message = pb.PredictRequest()
    message.model_spec.name = model
    tensors.write(message.inputs["x"], np.asarray(values, np.float32))
    data: bytes = message.SerializeToString()
    return data


def first(data: bytes) -> float:
    return float(pb.PredictResponse.FromString(data).outputs["y"].float_val[0])


def test_many_calls_at_once_on_one_connection(shared: Any) -> None:
    async def call_all() -> list[bytes]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.grpc_port}") as channel:
            call = channel.unary_unary(PREDICT)
            return list(await asyncio.gather(*(call(request("half", [i, *range(i)]), timeout=60) for i in range(300))))

    assert [first(data) for data in asyncio.run(call_all())] == [i / 2 + 2 for i in range(300)]


def test_our_load_client_calls_as_often_and_as_wide_as_it_likes_on_one_connection(shared: Any) -> None:
    """More calls than any flood guard counts up to."""
    endpoint = Endpoint(protocol="tfs_grpc", host="127.0.0.1", port=shared.grpc_port, model_name="half")
    values = np.arange(1_000_000, dtype=np.float32)
    bodies = (request("half", [3.0]), request("half", values), request("nothing", [3.0]))
    client = GrpcClient(endpoint, Payloads(transport="grpc", path=PREDICT, headers={}, bodies=bodies), timeout_s=60)
    try:
        wide = client.call(1)
        assert {client.call(0) for _ in range(4_500)} == {client.call(0)}
        assert first(client.call(0)) == 1.5 + 2
        assert first(wide) == 2
        assert client.call(1) == wide
        with pytest.raises(CallError, match="Servable not found"):
            client.call(2)
    finally:
        client.close()


def test_messages_wider_than_every_window_arrive_whole_side_by_side(shared: Any) -> None:
    values = np.arange(4_500_000, dtype=np.float32)

    async def call_all() -> list[bytes]:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.grpc_port}", options) as channel:
            call = channel.unary_unary(PREDICT)
            return list(await asyncio.gather(*(call(request("half", values + i), timeout=100) for i in range(3))))

    for i, data in enumerate(asyncio.run(call_all())):
        answer = tensors.read(pb.PredictResponse.FromString(data).outputs["y"]) if i == 0 else None
        assert first(data) == i / 2 + 2
        assert answer is None or np.array_equal(answer, values / 2 + 2)


def test_slow_and_quick_calls_share_a_connection(shared: Any) -> None:
    async def call_all() -> list[str]:
        done: list[str] = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.grpc_port}") as channel:
            call = channel.unary_unary(PREDICT)

            async def one(name: str, data: bytes) -> None:
                await call(data, timeout=60)
                done.append(name)

            await asyncio.gather(one("slow", request("slow", [1.0])), *(one("quick", request("half", [1.0])) for _ in range(5)))
        return done

    assert asyncio.run(call_all()) == ["quick"] * 5 + ["slow"]


def test_cancelled_calls_leave_the_connection_usable(shared: Any) -> None:
    async def cancel_some() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.grpc_port}") as channel:
            call = channel.unary_unary(PREDICT)
            for _ in range(20):
                pending = call(request("slow", [0.5]))
                await asyncio.sleep(0.005)
                pending.cancel()
            return first(await call(request("half", [1.0]), timeout=30))

    assert asyncio.run(cancel_some()) == 2.5


def test_any_number_of_cancelled_calls_fails_no_other(shared: Any) -> None:
    async def cancel_many() -> list[float]:
        answers: list[float] = []
        async with grpc.aio.insecure_channel(f"127.0.0.1:{shared.grpc_port}") as channel:
            call = channel.unary_unary(PREDICT)

            async def others() -> None:
                for _ in range(40):
                    answers.append(first(await call(request("slow", [0.02]), timeout=60)))

            async def cancelled() -> None:
                pending = call(request("slow", [0.2]))
                await asyncio.sleep(0.004)
                pending.cancel()

            steady = asyncio.create_task(others())
            for _ in range(60):
                await asyncio.gather(*(cancelled() for _ in range(10)))
            await steady
        return answers

    assert len(asyncio.run(cancel_many())) == 40


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_read(shared: Any, kind: grpc.Compression) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{shared.grpc_port}", compression=kind) as channel:
        assert first(channel.unary_unary(PREDICT)(request("half", np.ones(5000)), timeout=30)) == 2.5


def test_error_texts_arrive_whole(shared: Any) -> None:
    name = "naïve 100% 😀\nline"
    message = pb.PredictRequest()
    message.model_spec.name = name
    with pytest.raises(grpc.RpcError) as caught:
        shared.call("PredictionService/Predict", message.SerializeToString())
    assert caught.value.details() == f"Servable not found for request: Latest({name})"


def test_sigterm_lets_a_running_call_finish(start: Any, kit: Any, tmp_path: Path) -> None:
    kit.write_model(tmp_path / "slow", "slow")
    server = start("--model_name=slow", f"--model_base_path={tmp_path / 'slow'}")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary(PREDICT)
        call(request("slow", [0.0]), timeout=30)
        pending = call.future(request("slow", [1.0]), timeout=30)
        kit.eventually(lambda: "slow" in json.dumps(server.get("slow/metadata")[1]))
        server.process.send_signal(signal.SIGTERM)
        assert first(pending.result()) == 1.0
    assert server.process.wait(30) == 0


@pytest.mark.parametrize("seed", range(6))
def test_noise_on_the_port_harms_nobody(shared: Any, seed: int) -> None:
    noise = random.Random(seed)
    for start in (b"", PREFACE, PREFACE + b"\0\0\0\4\0\0\0\0\0"):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", shared.grpc_port), timeout=30) as connection:
                connection.sendall(start + noise.randbytes(noise.randint(1, 400)))
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(30)
                try:
                    while connection.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
    assert first(shared.call("PredictionService/Predict", request("half", [1.0]))) == 2.5


def test_plain_http_on_the_grpc_port_is_turned_away(shared: Any) -> None:
    with socket.create_connection(("127.0.0.1", shared.grpc_port), timeout=30) as connection:
        connection.sendall(b"GET /v1/models/half HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(30)
        while connection.recv(65536):
            pass
    assert first(shared.call("PredictionService/Predict", request("half", [1.0]))) == 2.5
