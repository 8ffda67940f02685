"""The Makefile, with a stand-in for the command that writes down how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serveoff.registry import CODE_ROOT

RECORDER = """#!/bin/sh
echo "start $*" >>calls
sleep 0.3
echo "end $1" >>calls
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with the stand-in in its .venv."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(CODE_ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "serveoff").write_text(RECORDER)
    (tmp_path / ".venv" / "bin" / "serveoff").chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def make(checkout: Path, *arguments: str, **variables: str) -> list[str]:
    """How the command was called."""
    done = run(checkout, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return (checkout / "calls").read_text().splitlines()


def run(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    of_make = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "ARGS")  # what the make that runs the tests was told: make test ARGS=...
    env = {name: value for name, value in os.environ.items() if name not in (*of_make, "SERVEOFF_WORKSPACE", "VENV")}
    return subprocess.run(["make", *arguments], cwd=checkout, env=env | variables, capture_output=True, text=True, check=False)


def test_targets_keep_their_order_under_j(checkout: Path) -> None:
    calls = make(checkout, "-j4", "train", "export", "serve")
    assert calls == ["start train", "end train", "start export", "end export", "start serve", "end serve"]


@pytest.mark.parametrize("target", ["stop", "ui", "loadtest"])
def test_the_filters_reach_the_command(checkout: Path, target: str) -> None:
    given = ("MODEL=a", "FRAMEWORK=b", "FORMAT=c", "PRECISION=d", "SERVER=e", "LAUNCHER=f", "PROTOCOL=g")
    (start, _) = make(checkout, target, *given)
    wanted = "--model a --framework b --format c --precision d --server e --launcher f --protocol g"
    assert start.split() == ["start", target, *wanted.split()]


@pytest.mark.parametrize(("variables", "gone"), [({}, "workspace"), ({"SERVEOFF_WORKSPACE": "my results"}, "my results")])
def test_clean_deletes_its_own_venv_and_the_workspace_in_use(checkout: Path, variables: dict[str, str], gone: str) -> None:
    for name in ("workspace", "my results", "my venv"):
        (checkout / name).mkdir()
    assert make(checkout, "clean", VENV="my venv", **variables) == ["start stop", "end stop"]
    left = {name for name in ("workspace", "my results", "my venv", ".venv") if (checkout / name).exists()}
    assert left == {"workspace", "my results", "my venv"} - {gone}


def test_the_slow_suite_makes_mlservers_environment_first(checkout: Path) -> None:
    shutil.copy(CODE_ROOT / "constraints-mlserver.txt", checkout)
    done = run(checkout, "--no-print-directory", "--dry-run", "test-slow")
    install, _, both = done.stdout.strip().splitlines()[-3:]
    beside, _, alone = both.partition(";")
    assert install.endswith("--constraint constraints-mlserver.txt mlserver onnxruntime")
    assert '-m "slow and not containers and not alone" --numprocesses' in beside
    assert '-m "slow and not containers and alone"' in alone


@pytest.mark.parametrize(
    ("beside", "alone", "ends"), [(0, 0, 0), (0, 5, 0), (5, 0, 0), (5, 5, 2), (1, 0, 2), (0, 1, 2), (1, 5, 2)], ids=lambda code: f"{code}"
)
def test_both_parts_of_the_tests_run_and_one_without_a_test_is_no_failure(checkout: Path, beside: int, alone: int, ends: int) -> None:
    pytest_ = checkout / ".venv" / "bin" / "pytest"
    pytest_.write_text(f'#!/bin/sh\necho "$2" >> ran\ncase "$2" in *"not alone") exit {beside} ;; *) exit {alone} ;; esac\n')
    pytest_.chmod(0o755)
    done = run(checkout, "test")
    assert (checkout / "ran").read_text().splitlines() == ["not slow and not alone", "not slow and alone"]
    assert done.returncode == ends
