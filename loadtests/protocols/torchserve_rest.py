"""TorchServe over REST: POST /predictions/NAME with TF Serving's row form, which our handler takes: both servers get the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

from serveoff.contract import Manifest
from serveoff.launch import Endpoint
from serveoff.plugins import Array, Tensors, WireProtocol
from serveoff.results import ErrorClass

from .. import meanings
from ..rows import rows_from_json, rows_json


class TorchServeRest:
    transport: Literal["http", "grpc"] = "http"
    encoding: Literal["json", "binary"] = "json"

    def headers(self, body: bytes) -> Mapping[str, str]:
        return {"Content-Type": "application/json"}

    def path(self, endpoint: Endpoint) -> str:
        return f"/predictions/{quote(endpoint.model_name, safe='')}"

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes:
        return rows_json(manifest, inputs)

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]:
        return rows_from_json(manifest, reply)

    def meaning(self, status: str, text: str) -> ErrorClass:
        return meanings.torchserve(status, text)


PROTOCOL: WireProtocol = TorchServeRest()
