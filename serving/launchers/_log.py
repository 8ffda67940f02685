"""The end of a server's log, for the reasons that a person reads."""

from __future__ import annotations

import re
import signal
from pathlib import Path

_TELLING = re.compile("error|exception|fail|fatal|denied|killed", re.IGNORECASE)
_TAIL_LINES = 10
_TAIL_BYTES = 65536


def tail(path: Path) -> str:
    """The log's last lines up to the last one that tells of an error, after a line that says so; empty for an empty log.

    What follows the error (a server that tries again, say) is cut short. Stack frames of Java are left out.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("\tat ")]
    telling = max((number for number, line in enumerate(lines) if _TELLING.search(line)), default=len(lines) - 1)
    shown, after = lines[: telling + 1][-_TAIL_LINES:], lines[telling + 1 :]
    if after:
        shown += ["..."][: len(after) - 1] + after[-1:]
    return "\n".join(["; the last lines of its log:", *(f"  {line}" for line in shown)]) if shown else ""


def ending(code: int) -> str:
    """A process's exit status (128 + N for the signal N, as shells count) in words."""
    if code <= 128:
        return f"exited with code {code}"
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exited with code {code}"
    hint = " (when memory runs out, the system kills like this)" if name == "SIGKILL" else ""
    return f"was ended by {name}, exit {code}{hint}"
