"""Waits until a started server says that it is ready, and listens on every port of its protocols, while watching that it is alive."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time

import psutil

from serveoff.errors import NotReadyError
from serveoff.launch import Endpoint, LaunchSpec, Target
from serveoff.plugins import Launcher

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5


def wait(target: Target, spec: LaunchSpec, launcher: Launcher, cancelled: threading.Event) -> None:
    """Return once the server is ready. Raises NotReadyError when it ended, took longer than the spec allows, or `cancelled` was set."""
    door = endpoint(target, spec)
    deadline = time.monotonic() + spec.readiness.timeout_s
    pause = _FIRST_PAUSE_S
    while not (is_ready(door, spec) and all(deafness(e) is None for e in target.endpoints)):
        if not launcher.alive(target):
            raise NotReadyError(f"{target.id} {launcher.exit_reason(target)}", hint=f"its whole log is {target.log}")
        if time.monotonic() > deadline:
            reason = f"{target.id} was not ready after {spec.readiness.timeout_s:g} s: it {launcher.exit_reason(target)}"
            raise NotReadyError(reason, hint=f"its whole log is {target.log}")
        if cancelled.wait(pause):
            raise NotReadyError(f"{target.id} was stopped before it was ready")
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def endpoint(target: Target, spec: LaunchSpec) -> Endpoint:
    """The endpoint whose port answers the readiness question."""
    return next(e for e in target.endpoints if spec.protocols[e.protocol] == spec.readiness.port)


def is_ready(door: Endpoint, spec: LaunchSpec) -> bool:
    connection = http.client.HTTPConnection(door.host, door.port, timeout=5)
    try:
        connection.request("GET", spec.readiness.path)
        response = connection.getresponse()
        return response.status == 200 and spec.readiness.contains in response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_exposed(target: Target, launcher: Launcher) -> bool:
    """Whether a process of the target listens on all addresses of this host. A container does, inside; its ports are ours to publish."""
    listening = set()
    for pid in (launcher.processes(target) or ()) if launcher.kind == "host" else ():
        with contextlib.suppress(psutil.Error):
            listening |= {c.laddr.ip for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return bool(listening & {"0.0.0.0", "::"})  # noqa: S104 - looked for, not listened on


def deafness(door: Endpoint) -> str | None:
    """Why nobody can connect to it, in the system's words; None where one can."""
    try:
        socket.create_connection((door.host, door.port), timeout=5).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
