"""The command line. Commands live in the modules beside this one; none imports a framework, a stage is loaded when it is needed."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console as RichConsole

from serveoff import __version__, storage
from serveoff.errors import ServeoffError

from . import build, compare, doctor, load, serve, train
from .settings import Settings, read_config

_GLOBAL_FLAGS = ("--json", "--debug", "--quiet")
_INTERRUPTED = 130

app = typer.Typer(
    help="In which format, on which server, do you ship this model?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for module in (build, train, serve, load, compare, doctor):
    module.register(app)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the same choices, and a table for each command.")] = None,
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress on standard error."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks."),
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    context.obj = Settings(json=json, debug=debug, quiet=quiet)
    if config is not None:
        context.default_map = read_config(config, context)


def main() -> None:
    """The entry point. Exit codes: DESIGN section 2, rule 7."""
    arguments = _global_first(sys.argv[1:])
    try:
        app(args=arguments, prog_name="serveoff")
    except ServeoffError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            _complain("interrupted", "what was finished is kept")
        raise
    except Exception as error:  # the last resort: a user never sees a traceback that was not asked for
        if "--debug" in arguments:
            raise
        if isinstance(error, OSError) and error.filename is not None:
            _complain(f"{error.filename}: {error.strerror}", storage.LOOK)
        else:
            _complain(f"{type(error).__name__}: {error}", "this is a defect in serveoff; --debug shows where")
        sys.exit(1)


def _complain(message: str, hint: str) -> None:
    console = RichConsole(stderr=True, soft_wrap=True, highlight=False)
    console.print("[bold red]error:[/bold red] ", end="")
    console.print(message, markup=False)
    if hint:
        console.print("[bold]hint:[/bold] ", end="")
        console.print(hint, markup=False)


def _global_first(arguments: list[str]) -> list[str]:
    """Let `--json` and its like stand anywhere: click wants a group's options before the command."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument in _GLOBAL_FLAGS or argument.startswith("--config="):
            front.append(argument)
        elif argument == "--config":
            front += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(argument)
    return front + rest
