"""What Locust's FastHttpUser sends with, as a client of ours: what its session costs is in every latency."""

from __future__ import annotations

from typing import Any

from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from serveoff.launch import Endpoint

from ..handover import Payloads
from . import clock
from .calls import CallError

_TEXT_CHARACTERS = 300


class FastHttpClient:
    """Its connections are Locust's pool's, which does not tell how many it opened: each user counts as one."""

    opened_ns = None
    connected = True

    def __init__(self, endpoint: Endpoint, payloads: Payloads, timeout_s: float) -> None:
        self._payloads = payloads
        self._timeout_s = timeout_s
        self.sent_ns = self.received_ns = 0
        self._session = FastHttpSession(
            f"http://{endpoint.host}:{endpoint.port}",
            EventHook(),  # type: ignore[no-untyped-call]  # nobody listens: what we record is enough
            None,
            network_timeout=timeout_s,
            connection_timeout=timeout_s,
            max_retries=0,
            concurrency=1,
        )

    def call(self, payload: int) -> bytes:
        body: Any = self._payloads.bodies[payload]
        headers = self._payloads.headers_of(payload)
        self.sent_ns = clock.now_ns()
        reply: Any = self._session.post(self._payloads.path, data=body, headers=headers, allow_redirects=False)
        self.received_ns = clock.now_ns()
        error = getattr(reply, "error", None)
        if reply.status_code == 200 and error is None:
            return reply.content or b""
        if reply.status_code:
            raise CallError(f"http-{reply.status_code}", (reply.content or b"")[:_TEXT_CHARACTERS].decode(errors="replace").strip())
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            raise CallError("timeout", f"no reply within {self._timeout_s:g} s")
        raise CallError("connection", str(error))

    def expire(self, now_ns: int) -> None:
        """It keeps its own time limit."""

    def close(self) -> None:
        self._session.client.close()
