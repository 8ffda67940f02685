"""The REST API: requests in, replies out (http_server.cc, http_rest_api_handler.cc)."""

from __future__ import annotations

import asyncio
import functools
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import inference, json_examples, log, metadata, urls
from .catalog import Catalog
from .http_protocol import Pending, Reply, Request
from .json_reply import classification_body, error_body, predict_body, regression_body
from .json_request import LONG_BYTES, NeedsTime, PredictBody
from .metrics import Metrics
from .servable import DEFAULT_SIGNATURE, Servable, check_inputs
from .status import HTTP_STATUS, Code, ServingError, from_exception, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Tensors

MAX_UNPACKED_BYTES = 100 * 1024 * 1024
"""A gzip body that unpacks to more counts as empty, like one that does not unpack."""

_JSON = b"content-type: application/json\r\n"
_CORS = b"access-control-allow-origin: *\r\naccess-control-allow-methods: POST, GET\r\naccess-control-allow-headers: Content-Type\r\n"
_NOT_FOUND = Reply(
    404,
    b"content-type: text/html\r\n",
    b"<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n<H1>Not Found</H1>\n</BODY></HTML>\n",
)
_ORIGIN = re.compile(rb"https?://")

_ROUTES_KEPT_BELOW = 256
"""Longer targets are parsed each time, so that strange ones cannot fill the memory."""

_Later = tuple["asyncio.Future[Any]", Callable[["asyncio.Future[Any]"], bytes]]
"""A future, and what makes the reply's body of it (raises what went wrong)."""

_known_route = functools.lru_cache(maxsize=512)(urls.parse)


@dataclass(frozen=True, slots=True)
class RestApi:
    """`timeout_s`: how long a model may run, None for ever. `metrics_path`: where the metrics are, empty for nowhere."""

    catalog: Catalog
    metrics: Metrics
    timeout_s: float | None = 30.0
    cors: bool = False
    metrics_path: str = ""

    def answer(self, request: Request) -> Reply | Pending:
        """The reply, at once where no model has to run for long."""
        verb, target = request.verb, request.target
        if target[:4].lower() != "/v1/":
            if self.metrics_path and target == self.metrics_path:
                return Reply(200, b"content-type: text/plain\r\n", self.metrics.page())
            return _NOT_FOUND
        headers = _JSON + _CORS if self.cors else _JSON
        if verb == "OPTIONS":
            return Reply(200 if _ORIGIN.search(_header(request, b"origin")) else 400, headers, b"")
        body = request.body
        if b"gzip" in _header(request, b"content-encoding"):
            body = _unpacked(body)
        start, route = time.perf_counter(), None
        try:
            route = (_known_route if len(target) < _ROUTES_KEPT_BELOW else urls.parse)(verb, target)
            reply = self._dispatch(route, body)
        except Exception as error:  # a bad request must never take the server down, whatever it finds
            return self._done(request, route, headers, start, error)
        if isinstance(reply, bytes):
            return self._done(request, route, headers, start, reply)
        future, finish = reply

        def finished(done: asyncio.Future[Any]) -> Reply:
            try:
                outcome: bytes | Exception = finish(done)
            except asyncio.CancelledError:
                outcome = ServingError(Code.CANCELLED, "the call was cancelled")
            except Exception as error:
                outcome = error
            return self._done(request, route, headers, start, outcome)

        return Pending(future, finished)

    def _done(self, request: Request, route: urls.Route | None, headers: bytes, start: float, outcome: bytes | Exception) -> Reply:
        code, reply = Code.OK, b""
        if isinstance(outcome, bytes):
            reply = outcome
        else:
            failure = from_exception(outcome)
            if not isinstance(outcome, ServingError):
                log.error(f"{request.verb} {request.target}: {failure}")
            code, reply = failure.code, error_body(failure.message)
        if route is not None and request.verb == "POST" and self.catalog.knows(route.model):
            self.metrics.request(route.model, route.action, "REST", code.name, time.perf_counter() - start)
        return Reply(HTTP_STATUS[code], headers, reply)

    def _dispatch(self, route: urls.Route, body: bytes) -> bytes | _Later:
        if route.action == "predict":
            return self._predict(route, body)
        if route.action == "status":
            # A label does not narrow the list: TF Serving looks at the version only.
            return metadata.status_body(self.catalog.statuses(route.model, route.version))
        if route.action == "metadata":
            return metadata.metadata_body(self.catalog.find(route.model, route.version, route.label))
        return asyncio.ensure_future(self._infer(route, body)), asyncio.Future.result

    async def _infer(self, route: urls.Route, body: bytes) -> bytes:
        name, examples = json_examples.read(body) if len(body) < LONG_BYTES else await asyncio.to_thread(json_examples.read, body)
        servable = self.catalog.find(route.model, route.version, route.label)
        if route.action == "classify":
            return classification_body(await inference.classify(servable, name, examples, self.timeout_s))
        return regression_body(await inference.regress(servable, name, examples, self.timeout_s))

    def _predict(self, route: urls.Route, body: bytes) -> bytes | _Later:
        try:
            request, servable, name, inputs = self._prepared(route, body)
        except NeedsTime:
            return asyncio.ensure_future(self._predict_patiently(route, body)), asyncio.Future.result
        outputs = servable.run_if_quick(name, inputs)
        if outputs is not None:
            return predict_body(outputs, row=request.row)
        start = time.perf_counter()
        future = servable.submit(name, inputs, self.timeout_s)
        return future, lambda done: predict_body(servable.outcome(done, start), row=request.row)

    async def _predict_patiently(self, route: urls.Route, body: bytes) -> bytes:
        request, servable, name, inputs = await asyncio.to_thread(self._prepared, route, body, patient=True)
        return predict_body(await servable.run(name, inputs, self.timeout_s), row=request.row)

    def _prepared(self, route: urls.Route, body: bytes, *, patient: bool = False) -> tuple[PredictBody, Servable, str, Tensors]:
        """Parsed and found, in the order of TF Serving's checks. Raises ServingError, or NeedsTime unless `patient`."""
        request = PredictBody(body, patient=patient)
        servable = self.catalog.find(route.model, route.version, route.label)
        name = request.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None and name not in servable.definitions:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        if signature is None or not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {request.signature_name or 'DEFAULT'}")
        inputs = request.inputs(servable.input_types(name))
        if len(inputs) != len(signature.inputs):
            check_inputs(signature, inputs)
        return request, servable, name, inputs


def _header(request: Request, name: bytes) -> bytes:
    return next((value for key, value in request.headers if key == name), b"")


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, MAX_UNPACKED_BYTES)
    except zlib.error:
        return b""
    return data if unpacker.eof else b""
