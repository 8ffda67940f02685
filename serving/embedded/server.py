"""Wires the parts together and runs them: load, listen, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from serveoff.errors import InputError
from serveoff.wire import tfs_pb2 as pb

from . import log, text_protos, warmup
from . import metrics as monitoring
from .batching import BatchOptions, Scheduler
from .catalog import Catalog
from .flags import Flags
from .grpc_api import GrpcApi
from .grpc_http2 import GrpcServer
from .http_protocol import HttpProtocol
from .lifecycle import Lifecycle, LifecycleOptions, spare_collector
from .loading import LoadOptions
from .metrics import Metrics
from .reload import Reloader
from .rest import RestApi
from .servable import Means, Servable
from .status import ServingError

if TYPE_CHECKING:
    from .grpc_grpcio import GrpcioServer

_SAME_PORTS = "--rest_api_port cannot be same as --port. Please use different port for HTTP/REST API. Skipped exporting HTTP/REST API."
DRAIN_S = 30
"""How long requests in flight may still take after SIGTERM."""


class _Http(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again after its shutdown, and the exit status would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ModelServer:
    def __init__(self, flags: Flags) -> None:
        """Raises ServingError for a bad file that a flag names."""
        self._flags = flags
        self._config = _model_config(flags)
        batching = _batching(flags)
        threads = max(flags.rest_api_num_threads, flags.grpc_max_threads, batching.slots if batching else 1)
        pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="run")
        self.metrics = Metrics()
        self.catalog = Catalog()
        self.lifecycle = Lifecycle(
            self.catalog,
            LifecycleOptions(
                load_threads=max(1, flags.num_load_threads or 4 * (os.cpu_count() or 1)),
                poll_s=flags.file_system_poll_wait_seconds,
                max_retries=max(0, flags.max_num_load_retries),
                retry_interval_s=flags.load_retry_interval_micros / 1e6,
                prepare=_warm_up(flags),
            ),
            LoadOptions(flags.threads, flags.prefer_tflite_model, batching, flags.enable_per_model_batching_parameters),
            Means(pool, self.metrics, Scheduler(batching.slots) if batching else None),
        )
        self._reloader = Reloader(self.catalog, self.lifecycle, allow_unavailable_labels=flags.allow_version_labels_for_unavailable_models)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises InputError when a model cannot be loaded or a port is taken."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._interrupted)
        try:
            await self._load()
            spare_collector()
            if not self._stop.is_set():
                await self._serve()
        finally:
            await asyncio.to_thread(self.lifecycle.close)

    def _interrupted(self) -> None:
        self._stop.set()
        self.lifecycle.interrupt()

    async def _load(self) -> None:
        """Ports open only after every model had its load attempt."""
        self.lifecycle.start()
        try:
            await asyncio.to_thread(self._reloader.apply, self._config)
        except ServingError as error:
            if not self._stop.is_set():
                raise InputError(f"Failed to start server. Error: {error}") from None
        wait_s = self._flags.model_config_file_poll_wait_seconds
        if self._flags.model_config_file and wait_s > 0:
            watched = (self._flags.model_config_file, wait_s, self.lifecycle.ended)
            threading.Thread(target=self._reloader.watch, args=watched, name="config", daemon=True).start()

    async def _serve(self) -> None:
        flags = self._flags
        rest_port = flags.rest_api_port
        if rest_port and rest_port == flags.port:
            log.error(_SAME_PORTS)
            rest_port = 0
        listener = _listen(flags.host, rest_port) if rest_port else None
        grpc = await self._start_grpc()
        http = self._http()
        serving = asyncio.create_task(http.serve(sockets=[listener])) if listener else None
        if serving:
            log.info(f"Exporting HTTP/REST API at:{flags.host}:{rest_port} ...")
        await self._stop.wait()
        log.info("Draining: no new requests are taken")
        work: list[Any] = [grpc.stop(DRAIN_S)]
        if serving:
            http.should_exit = True
            work.append(serving)
        await asyncio.gather(*work)

    async def _start_grpc(self) -> GrpcServer | GrpcioServer:
        flags = self._flags
        api = GrpcApi(self.catalog, self.metrics, self._reloader, flags.enable_serialization_as_tensor_content)
        host = f"[{flags.host}]" if ":" in flags.host else flags.host
        addresses = [f"{host}:{flags.port}"] if flags.port else []
        if flags.grpc_socket_path:
            addresses.append(f"unix:{flags.grpc_socket_path}")
        server: GrpcServer | GrpcioServer
        if flags.ssl_config_file or flags.grpc_channel_arguments:
            from . import grpc_grpcio

            server = grpc_grpcio.GrpcioServer(
                api,
                health=flags.enable_grpc_healthcheck_service,
                channel_arguments=flags.grpc_channel_arguments,
                ssl_config_file=flags.ssl_config_file,
            )
            await server.start(addresses)
        else:
            server = GrpcServer(api, health=flags.enable_grpc_healthcheck_service)
            listeners = [_listen(flags.host, flags.port)] if flags.port else []
            if flags.grpc_socket_path:
                listeners.append(_listen_unix(flags.grpc_socket_path))
            await server.start(listeners)
        log.info(f"Running gRPC ModelServer at {', '.join(addresses)} ...")
        return server

    def _http(self) -> _Http:
        flags = self._flags
        timeout_s = flags.rest_api_timeout_in_ms / 1000 if flags.rest_api_timeout_in_ms > 0 else None
        api = RestApi(self.catalog, self.metrics, timeout_s, flags.rest_api_enable_cors_support, _metrics_path(flags))
        answer: Any = api.answer
        return _Http(
            uvicorn.Config(
                answer,
                http=HttpProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )


def _model_config(flags: Flags) -> pb.ModelServerConfig:
    if flags.model_config_file:
        config: pb.ModelServerConfig = text_protos.read("ModelServerConfig", flags.model_config_file)
        return config
    config = pb.ModelServerConfig()
    path = str(Path(flags.model_base_path).absolute())
    config.model_config_list.config.add(name=flags.model_name, base_path=path, model_platform="tensorflow")
    return config


def _batching(flags: Flags) -> BatchOptions | None:
    if not flags.enable_batching:
        return None
    path = flags.batching_parameters_file
    proto = text_protos.read("BatchingParameters", path) if path else text_protos.parse("BatchingParameters", "", "")
    return BatchOptions.from_proto(proto, os.cpu_count() or 1)


def _warm_up(flags: Flags) -> Any:
    def prepare(servable: Servable, directory: Path) -> None:
        if flags.enable_model_warmup:
            warmup.replay(servable, directory, max(1, flags.num_request_iterations_for_warmup))

    return prepare


def _metrics_path(flags: Flags) -> str:
    if not flags.monitoring_config_file:
        return ""
    config = text_protos.read("MonitoringConfig", flags.monitoring_config_file).prometheus_config
    return (config.path or monitoring.PATH) if config.enable else ""


def _listen_unix(path: str) -> socket.socket:
    """A socket file that an earlier server left behind is replaced."""
    if Path(path).is_socket():
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise InputError(f"cannot listen on unix:{path}: {error.strerror}", hint="choose another path") from None
    return listener


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
