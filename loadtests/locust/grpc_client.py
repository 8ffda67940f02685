"""Unary gRPC calls of bytes under gevent, one TCP connection per client (by default grpcio shares one among all channels)."""

from __future__ import annotations

import grpc
import grpc.experimental.gevent

from serveoff.contract import Endpoint

from ..handover import Payloads
from .calls import CallError

_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
]

grpc.experimental.gevent.init_gevent()


class GrpcClient:
    def __init__(self, endpoint: Endpoint, payloads: Payloads, timeout_s: float) -> None:
        self._bodies = payloads.bodies
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(f"{endpoint.host}:{endpoint.port}", options=_OPTIONS)
        self._method = self._channel.unary_unary(payloads.path)  # no (de)serialisers: bytes in, bytes out

    def call(self, payload: int) -> bytes:
        try:
            reply: bytes = self._method(self._bodies[payload], timeout=self._timeout_s)
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise CallError("timeout", f"no reply within {self._timeout_s:g} s") from None
            raise CallError(f"grpc-{code.name}", details) from None
        return reply

    def expire(self, now_ns: int) -> None:
        """gRPC keeps its own deadlines."""

    def close(self) -> None:
        self._channel.close()
