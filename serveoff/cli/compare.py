"""`serveoff compare`: the gate of a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serveoff.errors import UsageError
from serveoff.registry import load_module

from .load import find_run
from .settings import settings, table


def register(app: typer.Typer) -> None:
    app.command("compare")(compare)


def compare(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help="The baseline: a run's id or directory.")],
    b: Annotated[str, typer.Argument(metavar="[B]", help="The candidate: another run.")] = "",
    baseline: Annotated[str, typer.Option(help="Instead of B: a target of run A, by its id or a part of it.")] = "",
    candidate: Annotated[str, typer.Option(help="Instead of B: the target of run A that is compared with it.")] = "",
    slo: Annotated[list[str] | None, typer.Option(help="What every row of the candidate must keep (repeatable), e.g. p99<=50ms.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="What the verdict is about; the default is p99 in an open loop, throughput in a closed one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare what is unlike, and let pass what cannot be judged.")] = False,
) -> None:
    """Say whether a candidate is slower than a baseline.

    Ends with 5 when a row is shown to be slower or an objective is broken, and with 1 when something could not be judged.
    """
    shared = settings(context)
    if bool(baseline) != bool(candidate):
        raise UsageError("--baseline and --candidate go together", hint="name a target of the run with each")
    stage = load_module("report.compare")
    targets = (baseline, candidate) if baseline else None
    second: Path | None = find_run(shared, b) if b else None
    outcome = stage.compare_runs(find_run(shared, a), second, targets, slo or (), metric, force=force)
    value = {"outcome": outcome, "regressions": len(outcome.regressions), "broken": len(outcome.broken), "open": outcome.open}
    shared.emit(value, lambda: load_module("report.compare_tables").tables(outcome, table))
    if not shared.json:
        for note in (*(f"Unlike: {each}." for each in outcome.unlike), *outcome.notes):
            shared.console.say(note)
    stage.gate(outcome, force=force)
