"""Wires the parts together and runs them: load, listen, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from serveoff.errors import InputError, UsageError

from . import grpc_api, log
from .catalog import Catalog, VersionStatus
from .flags import Flags
from .grpc_api import GrpcApi
from .lifecycle import Lifecycle, LoadOptions
from .rest import RestApi
from .versions import ModelConfig

_SAME_PORTS = "--rest_api_port cannot be same as --port. Please use different port for HTTP/REST API. Skipped exporting HTTP/REST API."
DRAIN_S = 30
"""How long requests in flight may still take after SIGTERM."""

KEEP_ALIVE_S = 75
"""An idle connection is kept longer than load generators think between requests (uvicorn's own 5 s is not)."""


class _Http(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again after its shutdown, and the exit status would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def configs(flags: Flags) -> list[ModelConfig]:
    if not flags.model_base_path:
        raise UsageError("--model_base_path is missing", hint="name the directory of the version folders, e.g. /models/m for /models/m/1")
    return [ModelConfig(flags.model_name, Path(flags.model_base_path))]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another port, or stop what uses it") from None
    return listener


class ModelServer:
    def __init__(self, flags: Flags) -> None:
        if flags.port == 0:
            raise UsageError("--port is 0: the gRPC port must be a number above 0")
        self._flags = flags
        self._configs = configs(flags)
        self._pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="run")
        self.catalog = Catalog()
        options = LoadOptions(
            threads=flags.threads,
            prefer_tflite=flags.prefer_tflite_model,
            poll_s=flags.file_system_poll_wait_seconds,
            max_retries=max(0, flags.max_num_load_retries),
            retry_interval_s=flags.load_retry_interval_micros / 1e6,
        )
        self.lifecycle = Lifecycle(self.catalog, options, self._pool)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises ServeoffError when a model cannot be loaded or a port is taken."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._interrupted)
        try:
            await self._load()
            if not self._stop.is_set():
                await self._serve()
        finally:
            await asyncio.to_thread(self.lifecycle.close)

    def _interrupted(self) -> None:
        self._stop.set()
        self.lifecycle.interrupt()

    async def _load(self) -> None:
        """Ports open only after every model had its load attempt."""
        names = [config.name for config in self._configs]
        self.lifecycle.start(self._configs)
        failures = await asyncio.to_thread(self.lifecycle.wait_until_loaded, names)
        if failures and not self._stop.is_set():
            raise InputError(_start_failure(failures))

    async def _serve(self) -> None:
        flags = self._flags
        rest_port = flags.rest_api_port
        if rest_port and rest_port == flags.port:
            log.error(
                "--rest_api_port cannot be same as --port. Please use different port for HTTP/REST API. Skipped exporting HTTP/REST API."
            )
            rest_port = 0
        listener = _listen(flags.host, rest_port) if rest_port else None
        grpc_server = await self._start_grpc()
        http = asyncio.create_task(self._serve_rest(listener)) if listener else None
        await self._stop.wait()
        log.info("Draining: no new requests are taken")
        work: list[Any] = [grpc_server.stop(DRAIN_S)]
        if http:
            self._http.should_exit = True
            work.append(http)
        await asyncio.gather(*work)

    async def _start_grpc(self) -> Any:
        flags = self._flags
        server = grpc_api.server(GrpcApi(self.catalog, flags.enable_serialization_as_tensor_content))
        address = f"[{flags.host}]:{flags.port}" if ":" in flags.host else f"{flags.host}:{flags.port}"
        try:
            server.add_insecure_port(address)
        except RuntimeError:
            raise InputError(f"cannot listen on {address}", hint="choose another port, or stop what uses it") from None
        await server.start()
        log.info(f"Running gRPC ModelServer at {address} ...")
        return server

    async def _serve_rest(self, listener: socket.socket) -> None:
        flags = self._flags
        timeout_s = flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else None
        app: Any = RestApi(self.catalog, timeout_s, flags.rest_api_enable_cors_support)
        self._http = _Http(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )
        log.info(f"Exporting HTTP/REST API at:{flags.host}:{flags.rest_api_port} ...")
        await self._http.serve(sockets=[listener])


def _start_failure(failures: Sequence[tuple[str, VersionStatus]]) -> str:
    details = "".join(f"{{{{name: {name} version: {status.version}}} due to error: {status.error}}}, " for name, status in failures)
    return f"Failed to start server. Error: UNKNOWN: {len(failures)} model(s) did not become available: {{{details}}}"
