"""`python -m loadtests.waker WORKSPACE`: waits for the end of its input, then every target of the workspace is awake, and on all cores."""

from __future__ import annotations

import sys
from pathlib import Path

from serveoff import affinity
from serveoff.registry import LAUNCHERS
from serveoff.workspace import Workspace

from . import candidates, cpu_sets


def main() -> None:
    sys.stdin.buffer.read()
    targets = candidates.recorded(Workspace(Path(sys.argv[1])))
    for target in targets:
        LAUNCHERS.load(target.launcher).resume(target)
    if affinity.supported():
        cpu_sets.free(targets, affinity.usable())


if __name__ == "__main__":
    main()
