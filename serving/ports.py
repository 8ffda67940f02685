"""Free TCP ports for servers that want to be told a number, and the address that they listen on."""

from __future__ import annotations

import ipaddress
import random
import socket
import threading
from collections.abc import Iterable

from serveoff.errors import ServeoffError, UsageError

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


def require_address(address: str) -> None:
    """Raises UsageError for what is not one IPv4 address of this host: clients are told it, so it cannot stand for all of them."""
    hint = "name the one that load workers on other hosts reach, or leave it out for 127.0.0.1"
    try:
        wildcard = ipaddress.IPv4Address(address).is_unspecified
    except ValueError:
        raise UsageError(f"{address!r} is no IPv4 address", hint) from None
    if wildcard:
        raise UsageError(f"{address} stands for all addresses of this host", hint)
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            raise UsageError(f"this host does not have the address {address}", hint) from None


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
