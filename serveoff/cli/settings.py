"""What all commands share: the filters, the output mode, the configuration file."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console as RichConsole
from rich.table import Table
from typer.core import TyperGroup

from serveoff.console import Console
from serveoff.errors import InputError, UsageError
from serveoff.registry import MODELS, suggestion
from serveoff.selection import Selection
from serveoff.workspace import Workspace

_WIDE = 160

Models = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model, NAME or NAME@SIZE; all: every one there is (repeatable).")
]
Frameworks = Annotated[list[str] | None, typer.Option("--framework", help="Only this source framework: pytorch, keras (repeatable).")]
Formats = Annotated[list[str] | None, typer.Option("--format", help="Only this format; all: every one there is (repeatable).")]
Precisions = Annotated[list[str] | None, typer.Option("--precision", help="Only this precision; all: every one there is (repeatable).")]
Servers = Annotated[list[str] | None, typer.Option("--server", help="Only this server (repeatable).")]
Launchers = Annotated[list[str] | None, typer.Option("--launcher", help="Only this launcher: process, container (repeatable).")]
Protocols = Annotated[list[str] | None, typer.Option("--protocol", help="Only this protocol: rest, grpc, or a full name (repeatable).")]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the whole command line."""

    json: bool = False
    debug: bool = False
    quiet: bool = False

    @property
    def console(self) -> Console:
        return Console(quiet=self.quiet)

    @property
    def workspace(self) -> Workspace:
        return Workspace.current()

    def emit(self, value: Any, table: Callable[[], Table | Sequence[Table] | str]) -> None:
        """The result on standard output: JSON where it was asked for, else tables, or a sentence where there is nothing to show."""
        if self.json:
            typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
            return
        shown = table()
        if isinstance(shown, str):
            typer.echo(shown)
            return
        for each in [shown] if isinstance(shown, Table) else shown:
            terminal().print(each)


def terminal() -> RichConsole:
    """Standard output; wide enough for our tables where nobody says how wide it is (a pipe, a file, CI)."""
    guessed = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return RichConsole(width=_WIDE if guessed else None)


def settings(context: typer.Context) -> Settings:
    assert isinstance(context.obj, Settings)
    return context.obj


def select(**filters: list[str] | None) -> Selection:
    """A checked selection from a command's filters. Raises UsageError for an unknown name."""
    models = tuple(MODELS.proper(name) if "@" in name else name for name in filters.pop("models", None) or ())
    selection = Selection(models=models, **{name: tuple(values or ()) for name, values in filters.items()})
    selection.check()
    return selection


def table(title: str, *columns: str) -> Table:
    """A table; a column whose name starts with '>' is a number and stands right."""
    result = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        result.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return result


def read_config(path: Path, context: typer.Context) -> dict[str, Any]:
    """typer's default map from a TOML file: top-level keys are options of every command, tables are options of one command."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    group = context.command
    assert isinstance(group, TyperGroup)
    options = {name: {p.name: p for p in command.params} for name, command in group.commands.items()}
    everywhere = {key: value for key, value in raw.items() if not isinstance(value, dict)}
    _require_known(path, everywhere, sorted({key for known in options.values() for key in known if key}), "option")
    _require_known(path, {k: v for k, v in raw.items() if isinstance(v, dict)}, sorted(options), "command")
    result: dict[str, Any] = {}
    for name, known in options.items():
        own = {key.replace("-", "_"): value for key, value in raw.get(name, {}).items()}
        _require_known(path, own, sorted(key for key in known if key), f"option of {name}")
        chosen = {key: value for key, value in everywhere.items() if key in known} | own
        result[name] = {key: _listed(value, known[key]) for key, value in chosen.items()}
    return result


def _listed(value: Any, option: Any) -> Any:
    """`model = "digits_cnn"` means the list of this one, where an option is repeatable."""
    return [value] if isinstance(value, str) and getattr(option, "multiple", False) else value


def _require_known(path: Path, given: dict[str, Any], known: list[str], kind: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{path}: unknown {kind} {key!r}", hint=suggestion(key, known))
