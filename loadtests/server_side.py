"""What a server itself says of the time that a request took inside it: its counters after the load less those before the window."""

from __future__ import annotations

import http.client
import urllib.parse
from pathlib import Path

from serveoff import storage
from serveoff.launch import Endpoint, Target
from serveoff.plugins import Metrics, Times
from serveoff.registry import SERVERS
from serveoff.surroundings import ServerSide

BEFORE, AFTER = "server-before.txt", "server-after.txt"
_TIMEOUT_S = 2.0


class SilentError(Exception):
    """Why a server tells nothing, in words."""


def save(target: Target, file: Path) -> None:
    """Write the target's metrics page as it is now; nothing where there is none, or no answer: `between` says which."""
    if target.metrics is not None:
        try:
            storage.write_bytes(file, fetch(target.metrics))
        except (OSError, http.client.HTTPException):
            file.unlink(missing_ok=True)


def fetch(url: str) -> bytes:
    """Past any proxy. Raises OSError or HTTPException."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        page = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise http.client.HTTPException(f"status {response.status}")
    return page


def between(target: Target, protocol: str, directory: Path, lost: str = "") -> ServerSide:
    """Mean times of the requests between two pages of this directory. `lost`: why whoever asks for them could not. Raises SilentError."""
    if target.metrics is None:
        raise SilentError("the server has no page of metrics")
    if lost:
        raise SilentError(f"nobody asked for its metrics page after the load: {lost}")
    try:
        pages = [_read((directory / name).read_text(errors="replace")) for name in (BEFORE, AFTER)]
    except FileNotFoundError:
        raise SilentError(f"its metrics page gave no answer within {_TIMEOUT_S:g} s") from None
    except ValueError as error:
        raise SilentError(f"its metrics page cannot be read: {error}") from None
    endpoint = next(e for e in target.endpoints if e.protocol == protocol)
    first, last = (_times(target, page, endpoint) for page in pages)
    requests = last.requests - first.requests
    if requests <= 0:
        raise SilentError("it counted no successful request")

    def mean_us(before: float | None, after: float | None) -> float | None:
        return None if before is None or after is None else (after - before) / requests * 1e6

    return ServerSide(
        requests=round(requests),
        total_us=(last.total_s - first.total_s) / requests * 1e6,
        queue_us=mean_us(first.queue_s, last.queue_s),
        work_us=mean_us(first.work_s, last.work_s),
    )


def _times(target: Target, page: Metrics, endpoint: Endpoint) -> Times:
    found = SERVERS.load(target.server).times(page, endpoint)
    if isinstance(found, str):
        raise SilentError(found)
    return found


def _read(page: str) -> Metrics:
    from prometheus_client.parser import text_string_to_metric_families

    return Metrics(tuple((s.name, s.labels, s.value) for family in text_string_to_metric_families(page) for s in family.samples))
