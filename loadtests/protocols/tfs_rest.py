"""TF Serving's REST predict call in row form. The embedded server speaks it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from serveoff.plugins import WireProtocol
from serveoff.results import ErrorClass

from .. import meanings
from ..rows import rows_from_json, rows_json

if TYPE_CHECKING:
    from serveoff.contract import Manifest
    from serveoff.launch import Endpoint
    from serveoff.plugins import Array, Tensors


class TfsRest:
    transport: Literal["http", "grpc"] = "http"
    encoding: Literal["json", "binary"] = "json"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {"Content-Type": "application/json"}

    def path(self, endpoint: Endpoint) -> str:
        return f"/v1/models/{endpoint.model_name}:predict"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        return rows_json(manifest, inputs)

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        return rows_from_json(manifest, reply)

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.tfserving(status, text)


PROTOCOL: WireProtocol = TfsRest()
