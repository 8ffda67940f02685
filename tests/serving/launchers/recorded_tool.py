"""A `docker` or a `kubectl` for PATH that writes down what it is told and answers from a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

Answers = list[dict[str, object]]

_PROGRAM = f"""#!{sys.executable} -IS
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
told = sys.argv[1:]
before = (here / "calls").read_text().splitlines() if (here / "calls").exists() else []
with (here / "calls").open("a") as file:
    file.write(json.dumps(told) + "\\n")
if "--stdin" in told:
    (here / "stdin").write_bytes(sys.stdin.buffer.read())
for answer in json.loads((here / "answers").read_text()):
    after = answer.get("after")
    if set(answer["to"]) <= set(told) and (not after or any(after in json.loads(line) for line in before)):
        sys.stdout.write(answer.get("out", ""))
        sys.stderr.write(answer.get("err", ""))
        sys.stdout.flush()
        time.sleep(answer.get("stays_s", 0))
        sys.exit(answer.get("code", 0))
"""


class RecordedTool:
    """`answers`: what it says to a command with these words, perhaps only after one with the word `after`.

    The first match wins; without one it says nothing, and succeeds.
    """

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir()
        self._directory = directory
        self.answer([])
        (directory / name).write_text(_PROGRAM)
        (directory / name).chmod(0o755)

    def answer(self, answers: Answers) -> None:
        (self._directory / "answers").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[list[str]]:
        path = self._directory / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def stdin(self) -> Path:
        """What the last command with `--stdin` was sent."""
        return self._directory / "stdin"
