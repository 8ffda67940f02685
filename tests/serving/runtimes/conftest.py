"""Real models made by the frameworks, and one child process per runtime that loads them."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


class Child:
    """`child_runtime.py`, function by function."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "child_runtime.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink
            )
        self._log = log

    def __call__(self, function: str, *arguments: Any) -> Any:
        result, error = self._ask(function, arguments)
        assert error is None, error
        return result

    def fails(self, function: str, *arguments: Any) -> tuple[str, str]:
        """The exception that the function raises: its class's name and its text."""
        result, error = self._ask(function, arguments)
        assert error is not None, f"it returned {result!r}"
        return error

    def _ask(self, function: str, arguments: tuple[Any, ...]) -> tuple[Any, tuple[str, str] | None]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(pickle.dumps((function, arguments)))
        self._process.stdin.flush()
        try:
            answer: tuple[Any, tuple[str, str] | None] = pickle.load(self._process.stdout)
        except EOFError:
            pytest.fail(f"the child ended: {self._log.read_text()[-3000:]}")
        return answer

    def end(self) -> int:
        """Close its input; returns its exit code."""
        self._process.communicate()
        return self._process.returncode


def make(script: str, folder: Path, *arguments: str) -> Path:
    done = subprocess.run(
        [sys.executable, str(HERE / script), str(folder), *arguments], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def tensorflow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("child_make_tensorflow.py", tmp_path_factory.mktemp("tensorflow"))


@pytest.fixture(scope="session")
def torch_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("child_make_torch.py", tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="session")
def aotinductor_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("child_make_torch.py", tmp_path_factory.mktemp("aotinductor"), "aotinductor")


@pytest.fixture(scope="session")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Child]]:
    """The child of a runtime, started on first use."""
    children: dict[str, Child] = {}
    folder = tmp_path_factory.mktemp("children")

    def of(runtime: str) -> Child:
        if runtime not in children:
            children[runtime] = Child(folder / f"{runtime}.log")
        return children[runtime]

    yield of
    assert {name: one.end() for name, one in children.items()} == dict.fromkeys(children, 0)
