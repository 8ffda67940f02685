"""`python -m loadtests.waker WORKSPACE`: waits for the end of its input, then wakes every target of the workspace that is paused."""

from __future__ import annotations

import sys
from pathlib import Path

from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace

from . import candidates


def main() -> None:
    sys.stdin.buffer.read()
    for target in candidates.recorded(Workspace(Path(sys.argv[1]))):
        LAUNCHERS.load(target.launcher).resume(target)


if __name__ == "__main__":
    main()
