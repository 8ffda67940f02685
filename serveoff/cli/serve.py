"""`serveoff serve`, `status`, `stop`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from serveoff.errors import UsageError
from serveoff.launch import LOOPBACK, Target
from serveoff.registry import load_module
from serveoff.running import at_work

from .settings import Formats, Frameworks, Launchers, Models, Precisions, Protocols, Servers, select, settings, table


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("status")(status)
    app.command("stop")(stop)


def serve(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    server: Servers = None,
    launcher: Launchers = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads one call of a model may use; the default is half of the cores.")
    ] = None,
    listen: Annotated[str, typer.Option(help="The address of this host to listen on; for load workers on other hosts.")] = LOOPBACK,
    at: Annotated[
        list[str] | None,
        typer.Option(help="With --launcher attached: SERVER=HOST[:REST_PORT[:GRPC_PORT]][/ARTIFACT] of one that is running (repeatable)."),
    ] = None,
) -> None:
    """Start every server that can run here, or attach those that somebody else started.

    Returns when each has answered real requests correctly. What cannot run here is listed with its reason.
    """
    shared = settings(context)
    selection = select(models=model, frameworks=framework, formats=format, precisions=precision, servers=server, launchers=launcher)
    if bool(at) != (selection.launchers == ("attached",)):
        raise UsageError("--launcher attached and --at SERVER=HOST belong together", hint="one names what the other is about")
    stage, places = load_module("serving.serve"), load_module("serving.places").parse(at or ())
    with at_work(shared.workspace, "serve"):
        outcomes, skips = stage.serve(selection, shared.workspace, shared.console, threads, listen, places)

    def tables() -> Table:
        shown = table("Targets", "target", "state", ">seconds", "where")
        for o in outcomes:
            if o.target is None:
                shown.add_row(o.id, f"FAILED: {o.error}", "-", "-")
            else:
                state = "up, it was running already" if o.kept else "up, answers verified"
                shown.add_row(o.id, state, f"{o.target.ready_s:.1f}", _where(o.target))
        for s in skips:
            shown.add_row(s.what, f"skipped: {s.reason}", "-", "-")
        return shown

    result = [{"id": o.id, "target": o.target, "error": str(o.error or ""), "kept": o.kept} for o in outcomes]
    shared.emit({"targets": result, "skips": skips}, tables)
    stage.verdict(outcomes, skips)


def status(context: typer.Context) -> None:
    """Show what is being served, and what has died."""
    shared = settings(context)
    found = load_module("serving.targets").status(shared.workspace)

    def tables() -> Table | str:
        if not found:
            return "Nothing is being served: `serveoff serve` starts it."
        shown = table("Targets", "target", "state", "since", "process", "where")
        for s in found:
            t = s.target
            alive = "running" if t.ready_s is not None else "starting"
            state = alive if s.running else f"DEAD: {s.reason}"
            shown.add_row(t.id, state, t.started_at, t.container or str(t.pid or "-"), _where(t))
        return shown

    shared.emit({"targets": found}, tables)


def stop(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    server: Servers = None,
    launcher: Launchers = None,
    protocol: Protocols = None,
) -> None:
    """End what serveoff started, also after a crash.

    With filters, only those targets; without, everything of this workspace.
    """
    shared = settings(context)
    selection = select(
        models=model, frameworks=framework, formats=format, precisions=precision, servers=server, launchers=launcher, protocols=protocol
    )
    ended = load_module("serving.targets").stop(shared.workspace, selection)

    def tables() -> Table | str:
        if not ended:
            return "There was nothing to end."
        shown = table("Ended", "what")
        for what in ended:
            shown.add_row(what)
        return shown

    shared.emit({"ended": ended}, tables)


def _where(target: Target) -> str:
    return ", ".join(f"{e.protocol} {e.host}:{e.port}" for e in target.endpoints)
