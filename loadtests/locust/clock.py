"""The time of a load process: the monotonic clock, less the time for which a relay has held the process and its target.

Whatever waits for a moment of this clock can wake early, when the process was held meanwhile, and has to look again.
"""

from __future__ import annotations

import time
from pathlib import Path

import gevent

from .. import baton as shared

baton: shared.Baton | None = None
"""Of a process in a relay."""
now_ns = time.monotonic_ns
"""Nanoseconds."""


def follow(path: Path) -> shared.Baton:
    """From now on this process is held and let go by who made this baton."""
    global baton, now_ns
    baton, now_ns = shared.follow(path), _now_ns
    return baton


def _now_ns() -> int:
    assert baton is not None
    while True:
        held_ns = baton.held_ns
        moment_ns = time.monotonic_ns()
        if baton.held_ns == held_ns:  # else it was held between the two
            return moment_ns - held_ns


def monotonic_ns(moment_ns: int) -> int:
    """The same moment on the monotonic clock, if nothing is held until then."""
    return moment_ns + (0 if baton is None else baton.held_ns)


def sleep(seconds: float) -> None:
    """Let the other greenlets run for so long."""
    end_ns = now_ns() + int(seconds * 1e9)
    gevent.sleep(max(0.0, seconds))
    while (left_ns := end_ns - now_ns()) > 0:
        gevent.sleep(left_ns / 1e9)
