"""The report in a terminal: wide, narrow, and as a pipe."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from report.command import print_report
from serveoff.results import RunResult


def shown(run: RunResult, width: int, terminal: bool = True) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=terminal, color_system=None)
    print_report(run, console)
    assert console.width == width
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_every_column_on_one_line(recorded_run: RunResult) -> None:
    lines = shown(recorded_run, 80, terminal=False).splitlines()
    row = next(line for line in lines if line.startswith("torchserve") and "INVALID" in line)
    for text in ("onnx", "float32", "pytorch", "torchserve_rest", "612 B", "520 kB", "pass 1.2e-6", "INVALID [3]"):
        assert text in row
    assert "Too narrow" not in "".join(lines)


def test_a_narrow_terminal_says_what_it_leaves_out(recorded_run: RunResult) -> None:
    text = shown(recorded_run, 100)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "Too narrow for: precision, framework, p99 at most" in text
    assert "[3] onnx on torchserve over torchserve_rest: INVALID: the server died after 3 s, exit 137." in text
    assert "serve  tfserving" in text
    flat = " ".join(text.split())
    assert "tflite on embedded over tfs_grpc, p99 0.869 ms" in flat


def test_a_very_narrow_terminal_breaks_words_and_loses_none(recorded_run: RunResult) -> None:
    text = shown(recorded_run, 60)
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "…" not in text


def test_markup_in_names_is_text(make: Any) -> None:
    cell = make.cell("[bold red]x[/]\x1b[2J", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, None, ("[/nope]",))
    text = shown(make.run([cell]), 200)
    assert "[bold red]x[/]" in text
    assert "INVALID: [/nope]." in text
    assert "\x1b[2J" not in text


def test_nothing_skipped_is_said(make: Any) -> None:
    assert "Nothing was skipped." in shown(make.run([]), 80)
