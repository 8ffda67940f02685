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

from serveoff import own_models
from serveoff.console import Console
from serveoff.errors import InputError, UsageError
from serveoff.registry import MODELS, SMALL, suggestion
from serveoff.selection import ALL, Selection
from serveoff.workspace import Workspace

_WIDE = 160

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="Only this model: NAME, NAME@SIZE, or the path of your own; all, all@small: every one there is (repeatable)."
    ),
]
Frameworks = Annotated[list[str] | None, typer.Option("--framework", help="Only this source framework: pytorch, keras (repeatable).")]
Formats = Annotated[list[str] | None, typer.Option("--format", help="Only this format; all: every one there is (repeatable).")]
Precisions = Annotated[list[str] | None, typer.Option("--precision", help="Only this precision; all: every one there is (repeatable).")]
Servers = Annotated[list[str] | None, typer.Option("--server", help="Only this server (repeatable).")]
Launchers = Annotated[
    list[str] | None, typer.Option("--launcher", help="Only this launcher: process, container, kubernetes, attached (repeatable).")
]
Protocols = Annotated[list[str] | None, typer.Option("--protocol", help="Only this protocol: rest, grpc, or a full name (repeatable).")]

Inputs = Annotated[
    list[str] | None, typer.Option("--input", help="An input of your own model, e.g. image:float32:None,8,8,1 (repeatable, in order).")
]
Outputs = Annotated[list[str] | None, typer.Option("--output", help="The name of an output of your own model (repeatable, in order).")]
Samples = Annotated[str, typer.Option("--samples", help="An .npz with an array for each input of your own model; `labels` may be in it.")]
Signature = Annotated[str, typer.Option("--signature", help="The signature of your own SavedModel, where it has several.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load pickles in your own model or samples, which runs whatever code is in them.")
]


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
    """A checked selection from a command's filters; a model's path becomes its name. Raises UsageError for an unknown name."""
    workspace = Workspace.current()
    names = [own_models.name_of(value, workspace) for value in filters.pop("models", None) or ()]
    names = [each for name in names for each in ([plain + SMALL for plain in MODELS.names] if name == ALL + SMALL else [name])]
    models = dict.fromkeys(MODELS.proper(name) if "@" in name else name for name in names)
    selection = Selection(models=tuple(models), **{name: tuple(values or ()) for name, values in filters.items()})
    selection.check(own_models.names(workspace))
    return selection


def declare(models: list[str] | None, said: own_models.Description) -> list[str] | None:
    """The names of `--model`, those of the user's own with what was said about them remembered in the workspace."""
    if said != own_models.Description() and len(models or ()) != 1:
        raise UsageError("--input, --output, --samples, --signature and --allow-pickle are about one model", hint="name it: --model PATH")
    return None if models is None else [own_models.declare(value, said, Workspace.current()) for value in models]


def description(
    inputs: list[str] | None, outputs: list[str] | None, samples: str, signature: str, *, allow_pickle: bool
) -> own_models.Description:
    """What the options say about a model of the user's own. Raises UsageError."""
    return own_models.Description(
        tuple(own_models.tensor(text) for text in inputs or ()), tuple(outputs or ()), samples, signature, allow_pickle=allow_pickle
    )


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
