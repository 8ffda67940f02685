"""Starting Locust: a child process with nothing of the user's own Locust settings in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from serveoff import process
from serveoff.registry import CODE_ROOT

from .handover import JOB_VARIABLE

_LOCUST_FILES = CODE_ROOT / "loadtests" / "locust"


def command(locust_file: str, *arguments: str) -> tuple[str, ...]:
    """Locust with one of our Locust files; `-P` keeps the current directory off the import path."""
    start, file = str(_LOCUST_FILES / "start.py"), str(_LOCUST_FILES / locust_file)
    return (sys.executable, "-P", start, "-f", file, "--exit-code-on-error", "0", *arguments)


def node(*arguments: str) -> tuple[str, ...]:
    """One end of a load on several hosts: `master WAIT_S`, or `worker HOST PORT`."""
    return (sys.executable, "-P", str(_LOCUST_FILES / "node.py"), *arguments)


def environment(owner: Path, job: Path) -> Mapping[str, str]:
    """Ours, without LOCUST_* and with a HOME that has no ~/.locust.conf: a person's own settings must not bend a measurement."""
    env = process.environment(owner, {JOB_VARIABLE: str(job), "HOME": str(job.parent)})
    return {name: value for name, value in env.items() if not name.startswith("LOCUST_")}
