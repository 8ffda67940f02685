"""The REST API as a bare ASGI application (http_server.cc, http_rest_api_handler.cc)."""

from __future__ import annotations

import functools
import re
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from . import inference, json_examples, log, metadata, urls
from .catalog import Catalog
from .json_reply import classification_body, error_body, predict_body, regression_body
from .json_request import PredictBody
from .metrics import Metrics
from .servable import DEFAULT_SIGNATURE, check_inputs
from .status import HTTP_STATUS, Code, ServingError, from_exception, invalid

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_UNPACKED_BYTES = 100 * 1024 * 1024
"""A gzip body that unpacks to more counts as empty, like one that does not unpack."""

_JSON = (b"content-type", b"application/json")
_CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]
_NOT_FOUND = b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n"
_ORIGIN = re.compile(rb"https?://")

_ROUTES_KEPT_BELOW = 256
"""Longer targets are parsed each time, so that strange ones cannot fill the memory."""

_known_route = functools.lru_cache(maxsize=512)(urls.parse)


@dataclass(frozen=True, slots=True)
class RestApi:
    """`timeout_s`: how long a model may run, None for ever. `metrics_path`: where the metrics are, empty for nowhere."""

    catalog: Catalog
    metrics: Metrics
    timeout_s: float | None = 30.0
    cors: bool = False
    metrics_path: str = ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        if body is None:
            return
        status, headers, reply = await self._answer(scope, body)
        headers.append((b"content-length", b"%d" % len(reply)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    async def _answer(self, scope: Message, body: bytes) -> tuple[int, Headers, bytes]:
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        if target[:4].lower() != "/v1/":
            if self.metrics_path and target == self.metrics_path:
                return 200, [(b"content-type", b"text/plain")], self.metrics.page()
            return 404, [(b"content-type", b"text/html")], _NOT_FOUND
        headers = [_JSON, *_CORS] if self.cors else [_JSON]
        if scope["method"] == "OPTIONS":
            origin = _header(scope, b"origin")
            return 200 if _ORIGIN.search(origin) else 400, headers, b""
        if b"gzip" in _header(scope, b"content-encoding"):
            body = _unpacked(body)
        start, route = time.perf_counter(), None
        try:
            parse = _known_route if len(target) < _ROUTES_KEPT_BELOW else urls.parse
            route = parse(scope["method"], target)
            reply = await self._dispatch(route, body)
            failure = None
        except ServingError as error:
            failure = error
        except Exception as error:  # a bad request must never take the server down, whatever it finds
            log.error(f"{scope['method']} {target}: {type(error).__name__}: {error}")
            failure = from_exception(error)
        if route is not None and scope["method"] == "POST" and self.catalog.knows(route.model):
            code = Code.OK if failure is None else failure.code
            self.metrics.request(route.model, route.action, "REST", code.name, time.perf_counter() - start)
        if failure is not None:
            return HTTP_STATUS[failure.code], headers, error_body(failure.message)
        return 200, headers, reply

    async def _dispatch(self, route: urls.Route, body: bytes) -> bytes:
        if route.action == "predict":
            return await self._predict(route, body)
        if route.action == "status":
            # A label does not narrow the list: TF Serving looks at the version only.
            return metadata.status_body(self.catalog.statuses(route.model, route.version))
        if route.action == "metadata":
            return metadata.metadata_body(self.catalog.find(route.model, route.version, route.label))
        return await self._infer(route, body)

    async def _infer(self, route: urls.Route, body: bytes) -> bytes:
        name, examples = json_examples.read(body)
        servable = self.catalog.find(route.model, route.version, route.label)
        if route.action == "classify":
            return classification_body(await inference.classify(servable, name, examples, self.timeout_s))
        return regression_body(await inference.regress(servable, name, examples, self.timeout_s))

    async def _predict(self, route: urls.Route, body: bytes) -> bytes:
        request = PredictBody(body)
        servable = self.catalog.find(route.model, route.version, route.label)
        name = request.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {request.signature_name or 'DEFAULT'}")
        inputs = request.inputs(signature)
        check_inputs(signature, inputs)
        outputs = await servable.run(name, inputs, self.timeout_s)
        return predict_body(outputs, row=request.row)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when the client went away before its end."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message["body"]
    if not message["more_body"]:
        return body
    parts = [body]
    while message["more_body"]:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message["body"])
    return b"".join(parts)


def _header(scope: Message, name: bytes) -> bytes:
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return b""


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, MAX_UNPACKED_BYTES)
    except zlib.error:
        return b""
    return data if unpacker.eof else b""
