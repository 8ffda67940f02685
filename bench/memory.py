"""Does the server's memory stay flat under good and bad requests? Starts `bench.mixed_load` and reads what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bench.figures import Goal, figure, growth
from bench.payloads import Payloads
from bench.servers import Running
from serveoff.errors import GateError

SETTLED = 50_000
"""Requests after which a server has made its caches, pools and arenas."""


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """What `bench.mixed_load` prints at its end: resident bytes after `settled` requests and after all of them.

    `unexpected` counts answers that were not the expected ones, by kind and answer.
    """

    settled: int
    requests: int
    settled_bytes: int
    last_bytes: int
    peak_bytes: int
    seconds: float
    kinds: dict[str, int]
    unexpected: dict[str, int]

    def goal(self) -> Goal:
        name = f"resident memory after {self.requests:,} mixed requests ({self.last_bytes / 1e6:.1f} MB)"
        name += f" over that after the first {self.settled:,} ({self.settled_bytes / 1e6:.1f} MB), growth"
        return Goal(name, "%", figure([growth(self.settled_bytes, self.last_bytes) * 100]), 5.0, rising=False)

    def as_json(self) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def settled_at(requests: int) -> int:
    """The first 50,000, or the first half of a shorter run."""
    return min(SETTLED, requests // 2)


def command(server: Running, sent: Payloads, requests: int, seed: int) -> list[str]:
    numbers = (server.process.pid, server.rest_port, server.grpc_port, requests, settled_at(requests), seed)
    return [sys.executable, "-P", "-m", "bench.mixed_load", *map(str, numbers), str(sent.rows), str(sent.grpc)]


def run(argv: Sequence[str], say: Callable[[str], None]) -> Growth:
    """Progress goes to `say`, a line each. Raises GateError when the server died, or gave a wrong answer."""
    last = ""
    with subprocess.Popen(list(argv), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if last:
                say(last)
            last = line.rstrip()
    if child.returncode:
        raise GateError(f"the mixed load ended with exit code {child.returncode}: {last}")
    ended = msgspec.json.decode(last, type=Growth)
    if ended.unexpected:
        raise GateError(f"of {ended.requests} mixed requests some got another answer than they must: {ended.unexpected}")
    return ended
