"""Locust's own clients on one server, back to back, as its documentation shows them: HttpUser, FastHttpUser, and its gRPC example.

BENCH_CLIENT names a JSON file with the request and the kind of user; what Locust's statistics say goes beside it. The gRPC part is Locust's
examples/grpc/grpc_user.py, with a stub of TF Serving's method instead of its hello world.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, HttpUser, User, events, task
from locust.env import Environment

_JOB = Path(os.environ["BENCH_CLIENT"])
_ASKED: dict[str, Any] = json.loads(_JOB.read_text())

if _ASKED["kind"] == "HttpUser":

    class Plain(HttpUser):
        host = _ASKED["host"]

        @task
        def ask(self) -> None:
            self.client.post(_ASKED["path"], data=_ASKED["body"], headers=_ASKED["headers"])

elif _ASKED["kind"] == "FastHttpUser":

    class Fast(FastHttpUser):
        host = _ASKED["host"]

        @task
        def ask(self) -> None:
            self.client.post(_ASKED["path"], data=_ASKED["body"], headers=_ASKED["headers"])

else:
    import grpc
    import grpc.experimental.gevent as grpc_gevent
    from grpc_interceptor import ClientInterceptor

    from serveoff.wire.tfs_pb2 import PredictRequest, PredictResponse

    grpc_gevent.init_gevent()
    _MESSAGE = PredictRequest.FromString(bytes.fromhex(_ASKED["body"]))

    class LocustInterceptor(ClientInterceptor):  # type: ignore[misc]
        def __init__(self, environment: Environment) -> None:
            self.env = environment

        def intercept(self, method: Any, request_or_iterator: Any, call_details: Any) -> Any:
            response = None
            exception = None
            start_perf_counter = time.perf_counter()
            response_length = 0
            try:
                response = method(request_or_iterator, call_details)
                response_length = response.result().ByteSize()
            except grpc.RpcError as e:
                exception = e
            self.env.events.request.fire(  # type: ignore[no-untyped-call]
                request_type="grpc",
                name=call_details.method,
                response_time=(time.perf_counter() - start_perf_counter) * 1000,
                response_length=response_length,
                response=response,
                context=None,
                exception=exception,
            )
            return response

    class Documented(User):
        host = _ASKED["host"]

        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            channel = grpc.intercept_channel(grpc.insecure_channel(self.host), LocustInterceptor(environment))
            self._predict = channel.unary_unary(
                _ASKED["path"], request_serializer=PredictRequest.SerializeToString, response_deserializer=PredictResponse.FromString
            )

        @task
        def ask(self) -> None:
            self._predict(_MESSAGE)


def _write(environment: Environment, **_: Any) -> None:
    total = environment.stats.total
    said = {"requests": total.num_requests, "failures": total.num_failures, "rps": total.total_rps}
    _JOB.with_suffix(".answer.json").write_text(json.dumps(said))


events.quitting.add_listener(_write)  # type: ignore[no-untyped-call]
