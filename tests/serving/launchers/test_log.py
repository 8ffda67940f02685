"""The end of a log, as a reason shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.launchers import _log


def shown(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "log.txt").write_text(text)
    return _log.tail(tmp_path / "log.txt").splitlines()


def test_the_last_ten_lines_when_none_tells_of_an_error(tmp_path: Path) -> None:
    lines = [f"step {number}" for number in range(30)]
    assert shown(tmp_path, "\n".join(lines)) == ["; the last lines of its log:", *(f"  {line}" for line in lines[-10:])]


def test_the_error_is_shown_although_the_server_tries_again(tmp_path: Path) -> None:
    text = "\n".join(["start", "RuntimeError: no such operator", "\tat some.java.Frame", "", *(f"again {number}" for number in range(50))])
    assert shown(tmp_path, text)[1:] == ["  start", "  RuntimeError: no such operator", "  ...", "  again 49"]
    assert shown(tmp_path, "start\nit failed\nonce more")[1:] == ["  start", "  it failed", "  once more"]


def test_nothing_to_show(tmp_path: Path) -> None:
    assert shown(tmp_path, "\n\n") == []
    assert _log.tail(tmp_path / "no such file") == ""


def test_only_the_end_of_a_huge_log_is_read(tmp_path: Path) -> None:
    assert shown(tmp_path, "an error at the start\n" + "x" * 200 + "\n" * 100_000 + "the end")[1:] == ["  the end"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (139, "was ended by SIGSEGV, exit 139"),
        (137, "was ended by SIGKILL, exit 137 (when memory runs out, the system kills like this)"),
        (255, "exited with code 255"),
    ],
)
def test_an_exit_status_in_words(code: int, words: str) -> None:
    assert _log.ending(code) == words
