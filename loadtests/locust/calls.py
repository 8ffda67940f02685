"""What every client can do, whatever it speaks."""

from __future__ import annotations

from array import array
from typing import Protocol

from serveoff.launch import Endpoint
from serveoff.results import ClientKind

from ..handover import Payloads


class CallError(Exception):
    """A request without a good reply. `kind` is what happened (few, stable; see `loadtests.meanings`), `text` what was said."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text

    @property
    def words(self) -> str:
        """The text, after the server's own number where it is the server that speaks: `http-503: ...`."""
        return str(self) if "-" in self.kind else self.text


class Client(Protocol):
    """One connection, used by one greenlet."""

    sent_ns: int
    """By the clock, when the last call's request went out, or when it began to connect for it."""
    received_ns: int
    """When the last of that call's reply was there; of no meaning where there was no good reply."""

    @property
    def opened_ns(self) -> array[int] | None:
        """When each of its connections stood, by the clock; None where it does not tell."""
        ...

    @property
    def connected(self) -> bool:
        """Whether it holds a connection, which the next call will use."""
        ...

    def call(self, payload: int) -> bytes:
        """Send this payload and wait for the whole reply. Raises CallError; the next call connects again where that is needed."""
        ...

    def expire(self, now_ns: int) -> None:
        """Called from another greenlet: end the request in flight when its time is over."""
        ...

    def close(self) -> None: ...


def client_for(endpoint: Endpoint, payloads: Payloads, timeout_s: float, kind: ClientKind = "raw") -> Client:
    """A client that is not connected yet. `kind` is about HTTP: gRPC has one."""
    if payloads.transport == "grpc":
        from .grpc_client import GrpcClient

        return GrpcClient(endpoint, payloads, timeout_s)
    if kind == "fasthttp":
        from .fast_http_client import FastHttpClient

        return FastHttpClient(endpoint, payloads, timeout_s)
    from .http_client import HttpClient

    return HttpClient(endpoint, payloads, timeout_s)
