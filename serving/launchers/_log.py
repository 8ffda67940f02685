"""The end of a server's log, for the reasons that a person reads."""

from __future__ import annotations

from pathlib import Path

_TAIL_LINES = 10
_TAIL_BYTES = 65536


def tail(path: Path) -> str:
    """The log's last lines, with a line before them that says so; empty for an empty log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    said = (line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("\tat "))  # not Java's stack frames
    lines = list(said)[-_TAIL_LINES:]
    return "\n".join(["; the last lines of its log:", *(f"  {line}" for line in lines)]) if lines else ""


def ending(code: int) -> str:
    """A process's exit status (128 + N for the signal N, as shells count) in words."""
    if code <= 128:
        return f"exited with code {code}"
    import signal

    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exited with code {code}"
    hint = " (when memory runs out, the system kills like this)" if name == "SIGKILL" else ""
    return f"was ended by {name}, exit {code}{hint}"
