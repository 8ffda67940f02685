"""`serveoff train`."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.table import Table

from serveoff.contract import TwinProof
from serveoff.errors import GateError
from serveoff.registry import load_module
from serveoff.running import at_work

from .settings import Frameworks, Models, select, settings, table, terminal


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    epochs: int = typer.Option(20, min=1, help="Passes over the training data."),
    seeds: int = typer.Option(1, min=1, help="How many trainings; from three on, the accuracies carry intervals."),
    seed: int = typer.Option(0, min=0, help="The first seed: of the initial weights and of the order of the batches."),
    fresh: bool = typer.Option(False, "--fresh", help="Begin anew, also where an interrupted training could go on."),
) -> None:
    """Train in both frameworks, and prove the twins equal.

    Both start from the same weights and see the same batches. Twins: one architecture with one set of weights, built in each framework.
    """
    shared = settings(context)
    selection = select(models=model, frameworks=framework)
    stage = load_module("models.train")
    with at_work(shared.workspace, "train"):
        records, twins = stage.train(selection, shared.workspace, shared.console, epochs, range(seed, seed + seeds), fresh=fresh)

    report = load_module("report.training")
    shared.emit({"training": records, "twins": twins}, lambda: _twins(twins))
    if not shared.json:
        report.show(records, terminal())
    shared.console.say(f"written: {report.write_page(shared.workspace.training, records)}")
    unequal = [f"{t.model}: {t.parity.reason}" for t in twins if t.parity is not None and not t.parity.passed]
    if unequal:
        raise GateError("the twins do not compute the same: " + "; ".join(unequal), hint="compare the two builds in models/zoo")


def _twins(proofs: Sequence[TwinProof]) -> Table:
    equal = table("Twins", "model", "weights from", ">max abs difference", ">allowed", "verdict")
    for proof in proofs:
        gate = proof.parity
        weights = proof.weights_from if proof.trained else f"{proof.weights_from}, drawn and not trained"
        if gate is None:
            equal.add_row(proof.model, weights, "-", "-", "one framework only")
            continue
        allowed = f"{gate.tolerance.atol:g} + {gate.tolerance.rtol:g}*|x|"
        equal.add_row(proof.model, weights, f"{gate.max_abs:.2e}", allowed, "equal" if gate.passed else gate.reason)
    return equal
