"""`serveoff doctor`: what can run here, and what is missing for the rest."""

from __future__ import annotations

import typer
from rich.table import Table

from serveoff import host
from serveoff.registry import FORMATS, LAUNCHERS, SERVERS

from .settings import settings, table


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(context: typer.Context) -> None:
    """Say what can run here, and what the rest lacks."""
    facts = host.facts()
    rows: list[dict[str, str]] = []
    for name, kind in FORMATS.all().items():
        for framework, source in kind.sources.items():
            rows.append({"what": f"export {name} from {framework}", "reason": source.missing()})
    for launcher_name, launcher in LAUNCHERS.all().items():
        nothing_there = launcher.unavailable()
        for server_name, server in SERVERS.all().items():
            reason = nothing_there or server.unavailable(launcher.kind) or ""
            rows.append({"what": f"serve with {server_name} ({launcher_name})", "reason": reason})

    def tables() -> list[Table]:
        machine = table("This machine", "fact", "value")
        machine.add_row("processor", f"{facts.cpu_model}, {facts.logical_cores} logical cores")
        machine.add_row("memory", f"{facts.memory_bytes / 2**30:.1f} GiB")
        machine.add_row("system", f"{facts.system}, Python {facts.python}")
        machine.add_row("packages", ", ".join(f"{name} {version}" for name, version in facts.packages.items()))
        can = table("What can run here", "what", "can it", "why not, and the next step")
        for row in rows:
            can.add_row(row["what"], "no" if row["reason"] else "yes", row["reason"])
        return [machine, can]

    settings(context).emit({"host": facts, "checks": rows}, tables)
