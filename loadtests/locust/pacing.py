"""Waiting until a moment, and handing the due times of an open loop to the connections."""

from __future__ import annotations

import ctypes
import os
import random
import sys
from collections.abc import Callable, Iterator
from itertools import islice

from gevent import get_hub
from gevent.event import Event

from . import clock

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0
_TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class Alarm:
    """Wakes one greenlet at a moment of the clock.

    gevent's own timers wait in whole milliseconds (measured: 0.9 ms late at the median); a Linux timerfd is 0.1 ms late. Late sends would
    count as latency. `os.timerfd_create` comes with Python 3.13 only. Elsewhere than on Linux gevent's timers must do.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._rung = Event()
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._fd >= 0:
            self._spec = _Itimerspec()
            self._watcher = get_hub().loop.io(self._fd, 1)

    def wait_until(self, moment_ns: int) -> None:
        """Return at once when the moment has passed; earlier when the alarm is rung."""
        self._rung.clear()
        while (left_ns := moment_ns - clock.now_ns()) > 0 and not self._rung.is_set():
            if self._fd < 0:
                self._rung.wait(left_ns / 1e9)
            else:
                self._set(clock.monotonic_ns(moment_ns))
                get_hub().wait(self._watcher)

    def _set(self, moment_ns: int) -> None:
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(moment_ns, 1_000_000_000)
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def ring(self) -> None:
        """Wake whoever waits, now."""
        self._rung.set()
        if self._fd >= 0:
            self._set(1)

    def close(self) -> None:
        if self._fd >= 0:
            self._watcher.close()
            os.close(self._fd)
            self._fd = -1


class Schedule:
    """The due times of an open loop; each idle connection takes the next one. What is sent late counts from when it was due.

    Of several processes that share a load each takes its share of one and the same schedule.
    """

    def __init__(
        self, arrivals: Callable[[random.Random], Iterator[float]], seed: int | str, start_ns: int, share: int = 0, shares: int = 1
    ) -> None:
        everything = enumerate(arrivals(random.Random(seed)))  # noqa: S311 - a schedule, no secret
        self._arrivals = islice(everything, share, None, shares)
        self._start_ns = start_ns

    def take(self) -> tuple[int, int]:
        """The next request's number and its due time, in nanoseconds of the clock."""
        number, due_s = next(self._arrivals)
        return number, self._start_ns + round(due_s * 1e9)
