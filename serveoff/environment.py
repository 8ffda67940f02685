"""An environment of its own for a tool that wants other versions than ours of what both need: `make NAME` makes it, inside ours."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import MissingToolError

_ASK = """
import json, platform
from importlib import metadata
print(json.dumps({"Python": platform.python_version(), **{d.name: d.version for d in metadata.distributions()}}))
"""

_ANSWERS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Environment:
    """The one that has the distribution `name`."""

    name: str

    @property
    def variable(self) -> str:
        """Names the Python of an environment of the user's own, to be used instead."""
        return f"SERVEOFF_{self.name.upper().replace('-', '_')}"

    def python(self) -> str:
        """Raises MissingToolError where there is none that has the distribution."""
        if missing := self.missing():
            raise MissingToolError(missing)
        return str(self._program())

    def missing(self) -> str:
        """Why it cannot be used, and what to do about it; empty when it can."""
        program, named = self._program(), os.environ.get(self.variable)
        if named and program is None:
            return f"{named} ({self.variable}) is no program that can be run: correct the path"
        if program is not None and self.name in _versions(program):
            return ""
        make = f"`make {self.name}`, or name the Python of an environment that has it in {self.variable}"
        return f"there is no {self.name} in {program or self._own()}: {make}"

    def versions(self) -> dict[str, str]:
        """Of Python and of all that is installed there, by distribution; empty where there is no such environment."""
        program = self._program()
        return {} if program is None else dict(_versions(program))

    def _own(self) -> Path:
        return Path(sys.prefix) / self.name

    def _program(self) -> str | None:
        return shutil.which(os.environ.get(self.variable) or self._own() / "bin" / "python")


@functools.cache
def _versions(python: str) -> dict[str, str]:
    """Nothing where that is no Python: a user names it."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=_ANSWERS_WITHIN_S
        )
        return dict(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return {}
