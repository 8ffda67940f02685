"""`serveoff train`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.table import Table

from serveoff import own_models
from serveoff.errors import GateError, InputError, UsageError
from serveoff.host import cores
from serveoff.registry import load_module
from serveoff.running import at_work
from serveoff.selection import ALL, Selection
from serveoff.training import ThroughputResult, TwinProof
from serveoff.workspace import Workspace

from .settings import (
    AllowPickle,
    Frameworks,
    Inputs,
    Models,
    Outputs,
    Samples,
    Settings,
    Signature,
    declare,
    description,
    select,
    settings,
    table,
    terminal,
)


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    epochs: int = typer.Option(20, min=1, help="Passes over the training data."),
    seeds: int = typer.Option(1, min=1, help="How many trainings; from three on, the accuracies carry intervals."),
    seed: int = typer.Option(0, min=0, help="The first seed: of the initial weights and of the order of the batches."),
    weights: Annotated[
        str, typer.Option("--weights", help="Instead of training: imagenet, or a .safetensors, .pt or .h5 file of the model's weights.")
    ] = "",
    fresh: bool = typer.Option(False, "--fresh", help="Begin anew, also where an interrupted training could go on."),
    throughput: bool = typer.Option(False, "--throughput", help="Instead: how fast each framework trains, on synthetic data."),
    batch: Annotated[int | None, typer.Option(min=1, help="--throughput: rows of a batch.", show_default="by model")] = None,
    rounds: int = typer.Option(5, min=1, help="--throughput: how often the frameworks take turns; from three on there are intervals."),
    threads: Annotated[int | None, typer.Option(min=1, help="--throughput: cores that each may use.", show_default="all")] = None,
    device: Annotated[Literal["cpu", "gpu"], typer.Option(help="--throughput: where.")] = "cpu",
    torch_compile: bool = typer.Option(False, "--torch-compile", help="--throughput: PyTorch compiled, instead of eager."),
    keras_jit: Annotated[
        Literal["auto", "on", "off"], typer.Option(help="--throughput: Keras with XLA; auto is what Keras chooses.")
    ] = "auto",
    busy: bool = typer.Option(False, "--busy", help="--throughput: count rounds whatever else the machine was doing."),
    timeout_s: float = typer.Option(300, min=1, help="--throughput: seconds that a model may take to compile, or a turn."),
    input: Inputs = None,  # noqa: A002 - the option's name
    output: Outputs = None,
    samples: Samples = "",
    signature: Signature = "",
    allow_pickle: AllowPickle = False,
) -> None:
    """Train in both frameworks, and prove the twins equal; or measure how fast they train.

    Both start from the same weights and see the same batches. Twins: one architecture with one set of weights, built in each framework.
    A model of your own, given by its path, is taken in with the weights that it has.
    """
    shared = settings(context)
    _require_fitting(context, throughput=throughput)
    if throughput:
        stage = load_module("models.throughput")
        plan = stage.Plan(
            models=tuple(select(models=model).models_to_make() if model else stage.MODELS_MEASURED),
            batch=batch,
            rounds=rounds,
            threads=min(threads or cores(), cores()),
            seed=seed,
            timeout_s=timeout_s,
            busy=busy,
            options=load_module("models.steps").Options(device=device, torch_compile=torch_compile, keras_jit=keras_jit),
        )
        _throughput(shared, stage, plan)
        return
    said = description(input, output, samples, signature, allow_pickle=allow_pickle)
    selection = select(models=declare(model, said), frameworks=framework)
    _require_one_of_the_zoo(shared.workspace, selection, weights)
    stage = load_module("models.train")
    with at_work(shared.workspace, "train"):
        records, twins = stage.train(
            selection, shared.workspace, shared.console, epochs, range(seed, seed + seeds), fresh=fresh, weights=weights
        )
        twins += load_module("models.intake").take_in_all(selection, shared.workspace, shared.console)

    report = load_module("report.training")
    shared.emit({"training": records, "twins": twins}, lambda: _twins(twins))
    if records and not shared.json:
        report.show(report.tables(records, None), terminal())
    if records:  # else nothing was trained
        shared.console.say(f"written: {report.write_page(shared.workspace)}")
    unequal = [f"{t.model}: {t.parity.reason}" for t in twins if t.parity is not None and not t.parity.passed]
    if unequal:
        raise GateError("the twins do not compute the same: " + "; ".join(unequal), hint="compare the two builds in models/zoo")


def _throughput(shared: Settings, stage: Any, plan: Any) -> None:
    with at_work(shared.workspace, "train"):
        result: ThroughputResult = stage.measure(plan, shared.workspace, shared.console)
    report = load_module("report.training")
    if shared.json:
        typer.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        report.show(report.tables((), result), terminal())
    shared.console.say(f"written: {report.write_page(shared.workspace)}")
    if not result.rows:
        raise InputError("no model could be measured", hint="the reasons stand above")


def _require_fitting(context: typer.Context, *, throughput: bool) -> None:
    """Refuse an option of the other kind of training, rather than let it do nothing."""
    of_throughput = ("batch", "rounds", "threads", "device", "torch_compile", "keras_jit", "busy", "timeout_s")
    other = ("framework", "epochs", "seeds", "weights", "fresh") if throughput else of_throughput
    for name in other:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            does = "does not go with" if throughput else "goes with"
            raise UsageError(f"{option} {does} --throughput", hint="`serveoff train --help`")


def _require_one_of_the_zoo(workspace: Workspace, selection: Selection, weights: str) -> None:
    if weights and (len(selection.models) != 1 or ALL in selection.models):
        raise UsageError("--weights is about one model", hint="name it: --model resnet50")
    if weights and own_models.find(workspace, selection.models[0]):
        raise UsageError(f"{selection.models[0]} has its own weights in it", hint="--weights is for the models of `serveoff models`")


def _twins(proofs: Sequence[TwinProof]) -> Table:
    equal = table("Twins", "model", "weights from", ">max abs difference", ">allowed", "verdict")
    for proof in proofs:
        gate = proof.parity
        weights = proof.weights_given or (proof.weights_from if proof.trained else f"{proof.weights_from}, drawn and not trained")
        if gate is None:
            equal.add_row(proof.model, weights, "-", "-", proof.unproved or "one framework only")
            continue
        allowed = f"{gate.tolerance.atol:g} + {gate.tolerance.rtol:g}*|x|"
        equal.add_row(proof.model, weights, f"{gate.max_abs:.2e}", allowed, "equal" if gate.passed else gate.reason)
    return equal
