"""Lets a client's calls expire, as a session of load does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from loadtests.locust.calls import Client


@contextmanager
def watched(subject: Client) -> Iterator[None]:
    def watch() -> None:
        while True:
            gevent.sleep(0.02)
            subject.expire(time.monotonic_ns())

    watchdog = gevent.spawn(watch)
    try:
        yield
    finally:
        watchdog.kill()
