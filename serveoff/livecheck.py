"""Asks a running target through the wire, and compares its answers with the source model's, or a quantised artifact's own."""

from __future__ import annotations

import http.client
from collections.abc import Sequence

from serveoff import parity, reference
from serveoff.contract import Parity, ParityCheck
from serveoff.errors import NotReadyError
from serveoff.launch import Endpoint, Target
from serveoff.plugins import Artifact, WireProtocol
from serveoff.registry import PROTOCOLS

ROWS = (1, 3, 8)
"""One row, an odd batch, and a larger one: a wrong answer at one batch size only has been seen."""

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]


def check(target: Target, artifact: Artifact, protocol: str, rows: Sequence[int] = ROWS, timeout_s: float = 30) -> Parity:
    """Send batches of `rows` samples; compare each answer with the recorded one. Raises NotReadyError when there is no answer at all."""
    endpoint = next(e for e in target.endpoints if e.protocol == protocol)
    wire = PROTOCOLS.load(protocol)
    manifest, known = artifact.manifest, reference.load(artifact.reference_file)
    sizes = rows if manifest.fixed_batch is None else (manifest.fixed_batch,)
    tolerance, checks = manifest.served_tolerance, list[ParityCheck]()
    for size in sizes:
        inputs, wanted = known.slice(0, size)
        reply = call(wire, endpoint, wire.encode(manifest, endpoint, inputs), timeout_s)
        try:
            answer = wire.decode(manifest, reply)
        except ValueError as error:
            raise NotReadyError(f"{target.id} over {protocol} answered with an error: {error}", hint=f"its log is {target.log}") from error
        checks += parity.compare(f"live, {size} row{'s'[: size > 1]}", wanted, answer, tolerance)
    return Parity(tolerance=tolerance, checks=tuple(checks))


def call(wire: WireProtocol, endpoint: Endpoint, body: bytes, timeout_s: float) -> bytes:
    """One request, one reply. Raises NotReadyError in one sentence, whatever went wrong on the way."""
    send = _call_http if wire.transport == "http" else _call_grpc
    return send(wire, endpoint, body, timeout_s)


def _call_http(wire: WireProtocol, endpoint: Endpoint, body: bytes, timeout_s: float) -> bytes:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
    try:
        connection.request("POST", wire.path(endpoint), body, dict(wire.headers(body)))
        response = connection.getresponse()
        reply = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"{endpoint.host}:{endpoint.port} did not answer over {endpoint.protocol}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        text = reply.decode(errors="replace").strip()
        raise NotReadyError(f"{endpoint.host}:{endpoint.port} answered {response.status} over {endpoint.protocol}: {text[:300]}")
    return reply


def _call_grpc(wire: WireProtocol, endpoint: Endpoint, body: bytes, timeout_s: float) -> bytes:
    import grpc

    with grpc.insecure_channel(f"{endpoint.host}:{endpoint.port}", options=_OPTIONS) as channel:
        method = channel.unary_unary(wire.path(endpoint))  # no (de)serialisers: bytes in, bytes out
        try:
            reply: bytes = method(body, timeout=timeout_s)
        except grpc.RpcError as error:
            raise NotReadyError(
                f"{endpoint.host}:{endpoint.port} answered {error.code().name} over {endpoint.protocol}: {error.details()}"
            ) from error
    return reply
