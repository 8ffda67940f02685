"""The server's log: one line per event on standard error, as a server under a process manager should have it."""

from __future__ import annotations

import sys
import time


def _write(level: str, message: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    sys.stderr.write(f"{stamp} {level} {message}\n")
    sys.stderr.flush()


def info(message: str) -> None:
    _write("I", message)


def warn(message: str) -> None:
    _write("W", message)


def error(message: str) -> None:
    _write("E", message)
