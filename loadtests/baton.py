"""What a relay and one of its load processes share: a file of a few numbers, mapped into both."""

from __future__ import annotations

import mmap
from enum import IntEnum
from pathlib import Path

_BYTES = 8


class State(IntEnum):
    """How far a load process has come."""

    STARTING = 0
    WARM = 1
    """It loads on, and its window opens when the others are warm."""
    DONE = 2
    """The load is over; it writes down what it has seen, and ends."""


class Baton:
    """Native int64 numbers, each written by one side only: the load process says what it is and sees, the relay `held_ns` and `opened`."""

    def __init__(self, path: Path) -> None:
        """Of a file that `make` has made."""
        with path.open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    @classmethod
    def make(cls, path: Path) -> Baton:
        path.write_bytes(bytes(5 * _BYTES))
        return cls(path)

    @property
    def held_ns(self) -> int:
        """For how long it has been held in all, up to the last time that it was let go."""
        return self._numbers[0]

    @held_ns.setter
    def held_ns(self, value: int) -> None:
        self._numbers[0] = value

    @property
    def opened(self) -> bool:
        """Whether its window may open."""
        return bool(self._numbers[1])

    @opened.setter
    def opened(self, value: bool) -> None:
        self._numbers[1] = value

    @property
    def pid(self) -> int:
        """0 until it runs."""
        return self._numbers[2]

    @pid.setter
    def pid(self, value: int) -> None:
        self._numbers[2] = value

    @property
    def state(self) -> State:
        return State(self._numbers[3])

    @state.setter
    def state(self, value: State) -> None:
        self._numbers[3] = value

    @property
    def latency_ns(self) -> int:
        """The median at the end of the warm-up; 0 where nothing succeeded."""
        return self._numbers[4]

    @latency_ns.setter
    def latency_ns(self, value: int) -> None:
        self._numbers[4] = value
