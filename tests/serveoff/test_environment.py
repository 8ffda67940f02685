from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serveoff.environment import Environment
from serveoff.errors import MissingToolError

TOOL = Environment("some-tool")
SOLUTION = "`make some-tool`, or name the Python of an environment that has it in SERVEOFF_SOME_TOOL"


def python(path: Path, says: str) -> Path:
    """A Python in which that is installed, as far as it says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our environment, with nothing in it."""
    monkeypatch.delenv("SERVEOFF_SOME_TOOL", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return tmp_path / "venv"


def test_there_is_none(prefix: Path) -> None:
    assert TOOL.missing() == f"there is no some-tool in {prefix / 'some-tool'}: {SOLUTION}"
    assert TOOL.versions() == {}
    with pytest.raises(MissingToolError, match=r"^there is no some-tool in .*make some-tool"):
        TOOL.python()


def test_the_one_that_make_makes(prefix: Path) -> None:
    made = python(prefix / "some-tool" / "bin" / "python", '{"Python": "3.11.7", "some-tool": "1.2"}')
    assert TOOL.missing() == ""
    assert TOOL.python() == str(made)
    assert TOOL.versions() == {"Python": "3.11.7", "some-tool": "1.2"}


def test_one_that_was_interrupted_has_a_python_and_no_tool(prefix: Path) -> None:
    made = python(prefix / "some-tool" / "bin" / "python", '{"Python": "3.11.7"}')
    assert TOOL.missing() == f"there is no some-tool in {made}: {SOLUTION}"


@pytest.mark.parametrize("says", ["#!/bin/sh\necho $*", "#!/bin/sh\nexit 1", "#!/bin/sh\necho 3", "#!/bin/sh\n", "no program at all"])
def test_a_program_that_is_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    program = tmp_path / "program"
    program.write_text(says)
    program.chmod(0o755)
    monkeypatch.setenv("SERVEOFF_SOME_TOOL", str(program))
    assert TOOL.missing() == f"there is no some-tool in {program}: {SOLUTION}"


def test_one_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = python(tmp_path / "python", '{"some-tool": "3"}')
    monkeypatch.setenv("SERVEOFF_SOME_TOOL", str(named))
    assert (TOOL.missing(), TOOL.python()) == ("", str(named))
    monkeypatch.setenv("SERVEOFF_SOME_TOOL", "/nowhere/python")
    assert TOOL.missing() == "/nowhere/python (SERVEOFF_SOME_TOOL) is no program that can be run: correct the path"


def test_a_real_python_says_what_is_installed_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Environment("msgspec")
    monkeypatch.setenv(ours.variable, sys.executable)
    versions = ours.versions()
    assert versions["Python"].startswith("3.")
    assert ours.missing() == ""
    assert versions["msgspec"]
