"""The contract of a second witness: one file = one load generator that shares no line of code with ours = one attribute WITNESS."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serveoff.errors import MissingToolError, ServeoffError
from serveoff.launch import Endpoint
from serveoff.results import Cell

from ..handover import Payloads

_SPARE_S = 30


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client says of its run. `connections`: how many it used, where it chose itself."""

    requests: int
    rps: float
    p50_us: float
    p99_us: float
    disturbed: str = ""
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row that was measured, and what was sent in it. `work`: where the witness's files go."""

    cell: Cell
    payloads: Payloads
    work: Path

    @property
    def endpoint(self) -> Endpoint:
        return next(e for e in self.cell.target.endpoints if e.protocol == self.cell.protocol)

    @property
    def seconds(self) -> int:
        """Of the window; all witnesses count in whole ones."""
        return max(1, round(self.cell.profile.options["duration_s"]))


class Witness(Protocol):
    """`install` is the command that brings the program; `rows` says which rows it can repeat, and `otherwise` what it does unlike ours."""

    program: str
    install: str
    rows: str
    otherwise: str

    def fits(self, cell: Cell) -> bool:
        """Whether it can repeat this row. Only asked of VALID ones."""
        ...

    def repeat(self, row: Row) -> Seen:
        """Load the row's target, which is awake. Raises ServeoffError."""
        ...


def require(program: str, install: str) -> str:
    """Where it is: on PATH, or beside our interpreter. Raises MissingToolError with what installs it."""
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise MissingToolError(f"{program} is not installed", hint=install)
    return found


def run(command: Sequence[str], seconds: float, env: dict[str, str] | None = None, *, chatters: bool = False) -> str:
    """What it wrote. `chatters`: it complains of every request, which nobody reads. Raises ServeoffError when it fails."""
    limit_s = seconds + _SPARE_S
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if chatters else subprocess.PIPE,
            text=True,
            check=False,
            timeout=limit_s,
            env=env,
        )
    except subprocess.TimeoutExpired:
        raise ServeoffError(f"{Path(command[0]).name} had not ended after {limit_s:g} s") from None
    if done.returncode != 0:
        raise ServeoffError(f"{Path(command[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout
