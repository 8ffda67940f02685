"""Free TCP ports on 127.0.0.1 for servers that want to be told a number."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterable

from serveoff.errors import ServeoffError

# Below the range from which systems take ports for outgoing connections (Linux: from 32768): a load test opens many of those.
_FIRST, _LAST = 20000, 32767

_lock = threading.Lock()
_given: set[int] = set()


def take(names: Iterable[str]) -> dict[str, int]:
    """A free port for each name. No port is given twice in the life of this process, so that parallel starts do not meet."""
    with _lock:
        ports = {}
        for name in names:
            ports[name] = port = _free()
            _given.add(port)
        return ports


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free() -> int:
    for port in random.sample(range(_FIRST, _LAST + 1), k=2000):
        if port not in _given and is_free(port):
            return port
    raise ServeoffError(f"found no free port between {_FIRST} and {_LAST}", hint="`serveoff stop` ends what was left behind")
