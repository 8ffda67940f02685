"""The REST API's URL grammar (http_rest_api_util.cc): whole-string matches on path and query, blind to case in the fixed parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from .status import invalid

_CALL = re.compile(
    r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)", re.IGNORECASE | re.ASCII | re.DOTALL
)
_LOOK = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?(?:/(metadata))?", re.IGNORECASE | re.ASCII | re.DOTALL
)
_METHODS = ("classify", "regress", "predict")


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for: `action` is a method, `metadata` or `status`."""

    action: str
    model: str
    version: int | None
    label: str | None


def parse(verb: str, target: str) -> Route:
    """`target` is path and query as they came, one character a byte. Raises ServingError for everything outside the grammar."""
    pattern = {"POST": _CALL, "GET": _LOOK}.get(verb)
    match = pattern.fullmatch(target) if pattern else None
    if match is None:
        raise invalid(f"Malformed request: {verb} {target}")
    name, digits, label, tail = match.groups()
    version = None
    if digits is not None:
        version = int(digits) if len(digits.lstrip("0")) < 20 else 1 << 63
        if version >= 1 << 63:
            raise invalid(f"Failed to convert version: {digits} to numeric.")
    action = tail
    if verb == "GET":
        action = "metadata" if tail == "metadata" else "status"
        if not name:
            raise invalid("Missing model name in request.")
    elif tail not in _METHODS:
        raise invalid(f"Malformed request: {verb} {target}")
    return Route(action, _decoded(name), version, None if label is None else _decoded(label))


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "surrogateescape")
