"""Servers under measurement: an environment for each rival, start, readiness, pause, end."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.machine import pinned, tree
from bench.rivals import Rival
from serveoff import process, registry
from serveoff.errors import MissingToolError, NotReadyError

INSTALL_S = 1800.0
START_S = 180.0
LOCALHOST = "127.0.0.1"
_GUARD = str(Path(process.__file__).with_name("guard.py"))
_BATCHING = """max_batch_size { value: 32 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 1 }
"""


@dataclass(frozen=True, slots=True)
class Running:
    """One server with one model loaded, awake."""

    name: str
    process: psutil.Process
    rest_port: int
    grpc_port: int
    log: Path

    def pause(self) -> None:
        """So that only one server is awake at a time."""
        for each in tree(self.process):
            each.suspend()

    def wake(self) -> None:
        for each in tree(self.process):
            each.resume()

    def stop(self) -> None:
        if self.process.is_running():
            self.wake()
        process.end_tree(self.process.pid, grace_s=5)


@dataclass(frozen=True, slots=True)
class Place:
    """Where servers run: a core, and a directory for their files and logs."""

    core: int
    directory: Path

    def run(self, name: str, argv: Sequence[str], ports: tuple[int, int], extra: Mapping[str, str] | None = None) -> Running:
        """Start `argv`; it dies with us."""
        folder = self.folder(name)
        log = folder / "log.txt"
        log.write_bytes(b"")
        guarded = [sys.executable, "-I", _GUARD, str(os.getpid()), *pinned(self.core, argv)]
        child = process.spawn(guarded, env=process.environment(self.directory, extra), log=log, cwd=folder)
        return Running(name, child, *ports, log)

    def folder(self, name: str) -> Path:
        folder = self.directory / name.replace(" ", "-").lower()
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def ours(place: Place, name: str, base_path: Path, *flags: str) -> Running:
    """The embedded server with `base_path` as its model `digits`, one thread a call as everywhere here."""
    rest_port, grpc_port = _ports()
    argv = [
        *process.python(registry.module_name("serving.embedded"), f"--port={grpc_port}", f"--rest_api_port={rest_port}"),
        *("--model_name=digits", f"--model_base_path={base_path}", "--tensorflow_session_parallelism=1", *flags),
    ]
    running = place.run(name, argv, (rest_port, grpc_port))
    wait_until_ready(running, "/v1/models/digits")
    return running


def batching_flags(place: Place, name: str) -> tuple[str, ...]:
    file = place.folder(name) / "batching.txt"
    file.write_text(_BATCHING)
    return "--enable_batching=true", f"--batching_parameters_file={file}"


def rival(place: Place, name: str, what: Rival, programs: Path, version_dir: Path) -> Running:
    http_port, other_port = _ports()
    environment = {"MODEL_DIR": str(version_dir), "TF_CPP_MIN_LOG_LEVEL": "2", **what.environment}
    argv = what.command(programs, http_port, other_port, place.folder(name))
    running = place.run(name, argv, (http_port, other_port), environment)
    wait_until_ready(running, what.ready)
    return running


def install(directory: Path, what: Rival) -> Path:
    """The rival's environment, made when there is none with its packages; returns its `bin`. Raises MissingToolError."""
    stamp, programs = directory / "packages.txt", directory / "bin"
    wanted = "\n".join(what.packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return programs
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    steps = (
        (sys.executable, "-m", "venv", str(directory)),
        (str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what.packages),
    )
    for step in steps:
        log = directory.with_suffix(".log")
        result = process.run_child(step, env=process.environment(directory), log=log, timeout_s=INSTALL_S)
        if not result.ok:
            raise MissingToolError(f"cannot install {', '.join(what.packages)}: {result.tail[-400:]}", hint=f"the whole log: {log}")
    stamp.write_text(wanted)
    return programs


def wait_until_ready(server: Running, path: str) -> None:
    """Raises NotReadyError, with the log's end, for a server that ends or does not answer 200 in time."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if not server.process.is_running() or server.process.status() == psutil.STATUS_ZOMBIE:
            break
        if _answers(server.rest_port, path):
            return
        time.sleep(0.2)
    server.stop()
    raise NotReadyError(f"{server.name} did not get ready:\n{server.log.read_text(errors='replace')[-1500:]}")


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ports() -> tuple[int, int]:
    taken = registry.load_module("serving.ports").take(("http", "grpc"))
    return taken["http"], taken["grpc"]
