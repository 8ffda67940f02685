"""`serveoff models`, `train`, `export`."""

from __future__ import annotations

from typing import Any

import typer

from serveoff.contract import TensorSpec
from serveoff.errors import GateError
from serveoff.registry import FORMATS, MODELS, SERVERS, load_module
from serveoff.running import at_work

from .settings import Formats, Frameworks, Models, Precisions, select, settings, table


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    app.command("train")(train)
    app.command("export")(export)


def models(context: typer.Context) -> None:
    """The models, and what can be made of them."""
    rows = [
        {
            "name": name,
            "summary": spec.summary,
            "inputs": [_tensor(t) for t in spec.inputs],
            "outputs": [_tensor(t) for t in spec.outputs],
            "frameworks": list(spec.builds),
        }
        for name, spec in MODELS.all().items()
    ]
    formats = [
        {
            "name": name,
            "sources": list(kind.sources),
            "precisions": list(kind.precisions),
            "servers": [s for s, server in SERVERS.all().items() if name in server.formats],
        }
        for name, kind in FORMATS.all().items()
    ]

    def tables() -> Any:
        shown = [
            table("Models", "model", "what", "inputs", "outputs", "frameworks"),
            table("Formats", "format", "from", "precisions", "servers"),
        ]
        for target, entries in zip(shown, (rows, formats), strict=True):
            for entry in entries:
                target.add_row(*(value if isinstance(value, str) else ", ".join(value) for value in entry.values()))
        return shown

    settings(context).emit({"models": rows, "formats": formats}, tables)


def train(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    epochs: int = typer.Option(20, min=1, help="Passes over the training data."),
    seed: int = typer.Option(0, help="Seed of the initial weights and of the order of the batches."),
) -> None:
    """Train in both frameworks, and prove the twins equal.

    Twins: one architecture with one set of weights, built in each framework.
    """
    shared = settings(context)
    selection = select(models=model, frameworks=framework)
    stage = load_module("models.train")
    with at_work(shared.workspace, "train"):
        records, twins = stage.train(selection, shared.workspace, shared.console, epochs, seed)

    def tables() -> Any:
        trained = table("Training", "model", "framework", ">parameters", ">epochs", ">seconds", ">validation accuracy")
        for r in records:
            trained.add_row(r.model, r.framework, f"{r.parameters:,}", str(r.epochs), f"{r.seconds:.1f}", f"{r.validation_curve[-1]:.2%}")
        equal = table("Twins", "model", "weights from", ">max abs difference", ">allowed", "verdict")
        for t in twins:
            gate = t.parity
            compared = (
                f"{gate.max_abs:.2e}",
                f"{gate.tolerance.atol:g} + {gate.tolerance.rtol:g}*|x|",
                "equal" if gate.passed else gate.reason,
            )
            equal.add_row(t.model, t.weights_from, *(compared if gate else ("-", "-", "one framework only")))
        return trained, equal

    shared.emit({"training": records, "twins": twins}, tables)
    unequal = [f"{t.model}: {t.parity.reason}" for t in twins if t.parity is not None and not t.parity.passed]
    if unequal:
        raise GateError("the twins do not compute the same: " + "; ".join(unequal), hint="compare the two builds in models/zoo")


def export(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    timeout_s: float = typer.Option(900, min=1, help="Seconds one export may take."),
) -> None:
    """Export to every format, and prove each export right.

    Each export runs in a process of its own; one that fails leaves the others standing, and the exit code is 5.
    """
    shared = settings(context)
    selection = select(models=model, frameworks=framework, formats=format, precisions=precision)
    stage = load_module("export.export")
    with at_work(shared.workspace, "export"):
        outcomes, skips = stage.export(selection, shared.workspace, shared.console, timeout_s)

    def tables() -> Any:
        shown = table("Exports", "artifact", ">seconds", ">size", ">max abs difference", ">accuracy", "verdict")
        for o in outcomes:
            m = o.manifest
            if m is None:
                shown.add_row(o.id, "-", "-", "-", "-", f"FAILED: {o.reason}")
                continue
            accuracy = f"{m.parity.metric.artifact:.2%}" if m.parity.metric else "-"
            shown.add_row(o.id, f"{m.export_s:.1f}", f"{m.size_bytes / 1e3:,.0f} kB", f"{m.parity.max_abs:.2e}", accuracy, "verified")
        for s in skips:
            shown.add_row(s.what, "-", "-", "-", "-", f"skipped: {s.reason}")
        return shown

    shared.emit({"exports": outcomes, "skips": skips}, tables)
    failed = [o.id for o in outcomes if o.manifest is None]
    if failed:
        raise GateError(f"{len(failed)} of {len(outcomes)} exports failed: {', '.join(failed)}", hint="the others are ready to be served")


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}[{', '.join('batch' if d is None else str(d) for d in spec.shape)}]"
