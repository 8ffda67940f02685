"""What a relay and one of its load processes share: a file of a few numbers, mapped into both."""

from __future__ import annotations

import ctypes
import mmap
from enum import IntEnum
from pathlib import Path


class State(IntEnum):
    """How far a load process has come."""

    STARTING = 0
    WARM = 1
    """It loads on, and its window opens when the others are warm."""
    DONE = 2
    """The load is over; it writes down what it has seen, and ends."""


class Baton(ctypes.Structure):
    """Each number is written by one side only: `held_ns` and `opened` by the relay, the others by the load process.

    `held_ns`: for how long it has been held in all, up to the last time that it was let go. `opened`: its window may open. `pid`: 0 until
    it runs. `state`: a `State`. `latency_ns`: the median at the end of its warm-up; 0 where nothing succeeded.
    """

    _fields_ = [(name, ctypes.c_int64) for name in ("held_ns", "opened", "pid", "state", "latency_ns")]
    held_ns: int
    opened: int
    pid: int
    state: int
    latency_ns: int


def make(path: Path) -> Baton:
    """A new one, all zero."""
    path.write_bytes(bytes(ctypes.sizeof(Baton)))
    return follow(path)


def follow(path: Path) -> Baton:
    """The one that `make` has made."""
    with path.open("r+b") as file:
        return Baton.from_buffer(mmap.mmap(file.fileno(), 0))
