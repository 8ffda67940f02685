"""What a person sees while something runs: bars on a terminal, plain lines elsewhere. All of it goes to standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bar:
    """One long step with a known number of parts."""

    def __init__(self, console: RichConsole, title: str, total: int, progress: Progress | None) -> None:
        self._console, self._title, self._total, self._progress = console, title, total, progress
        self._task: TaskID | None = progress.add_task(escape(title), total=total or None, note="") if progress else None

    def advance_to(self, done: int, note: str = "") -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, note=escape(note))
        elif done == self._total or done % max(1, self._total // 4) == 0:
            self._console.print(f"{self._title}: {done}/{self._total} {note}", markup=False, highlight=False)

    def tell(self, note: str) -> None:
        """What goes on now, on a terminal."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, note=escape(note))


class Console:
    """Progress and notes. `quiet` says nothing at all."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._rich = RichConsole(stderr=True, quiet=quiet)

    def say(self, text: str) -> None:
        """One plain line."""
        self._rich.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A bar for `total` parts (0: unknown)."""
        if not self._rich.is_terminal:
            yield Bar(self._rich, title, total, None)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._rich) as progress:
            yield Bar(self._rich, title, total, progress)
