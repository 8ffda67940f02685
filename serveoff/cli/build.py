"""`serveoff models`, `export`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from serveoff import own_models
from serveoff.contract import GIVEN, TensorSpec
from serveoff.errors import GateError
from serveoff.parity import MINIMUM_METRIC_RATIO
from serveoff.registry import FORMATS, MODELS, SERVERS, load_module
from serveoff.running import at_work
from serveoff.workspace import Workspace

from .settings import (
    AllowPickle,
    Formats,
    Frameworks,
    Inputs,
    Models,
    Outputs,
    Precisions,
    Samples,
    Signature,
    declare,
    description,
    select,
    settings,
    table,
)


def register(app: typer.Typer) -> None:
    app.command("models")(models)
    app.command("export")(export)


def models(
    context: typer.Context,
    what: Annotated[Literal["list"], typer.Argument(metavar="[list]", help="There is nothing else to do with them.")] = "list",  # noqa: ARG001
) -> None:
    """The models, those of your own that the workspace knows, and what can be made of them.

    Parameters and MACs (multiply-accumulates for one row) are PyTorch's count of its build.
    """
    shared = settings(context)
    counted = load_module("models.facts").facts(MODELS.names, shared.workspace)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": spec.summary,
            "size": f"{spec.sizes.default}: {spec.sizes.what} (small: {spec.sizes.small})" if spec.sizes else "-",
            "parameters": counted[name].parameters if name in counted else None,
            "macs": counted[name].macs if name in counted else None,
            "inputs": [_tensor(t) for t in spec.inputs],
            "outputs": [_tensor(t) for t in spec.outputs],
            "frameworks": list(spec.builds),
        }
        for name, spec in MODELS.all().items()
    ]
    own = [_own(name, shared.workspace) for name in own_models.names(shared.workspace)]
    formats: list[dict[str, Any]] = [
        {
            "name": name,
            "sources": list(kind.sources),
            "default": ["yes" if any(source.default for source in kind.sources.values()) else "when named"],
            "precisions": kind.precisions,
            "servers": [s for s, server in SERVERS.all().items() if name in server.formats],
        }
        for name, kind in FORMATS.all().items()
    ]

    def tables() -> Any:
        shown = [
            table("Models", "model", "what", "@SIZE", ">parameters", ">MACs", "inputs", "outputs", "frameworks"),
            table("Your own", "model", "path", "kind", "inputs", "outputs", "from"),
            table("Formats", "format", "from", "exported", "precisions", "servers"),
        ]
        for target, entries in zip(shown, (rows, own, formats), strict=True):
            for entry in entries:
                target.add_row(*map(_shown, entry.values()))
        return [each for each in shown if each.row_count]

    shared.emit({"models": rows, "own": own, "formats": formats}, tables)


def _own(name: str, workspace: Workspace) -> dict[str, Any]:
    """A model of the user's own; what it takes and answers is known once it was taken in."""
    source = own_models.find(workspace, name)
    assert source is not None
    folder = workspace.checkpoint(name)
    taken = next((own_models.taken(folder, o) for o in source.origins if (folder / own_models.taken_file(o)).exists()), None)
    return {
        "name": name,
        "path": source.path,
        "kind": source.kind,
        "inputs": [_tensor(t) for t in (taken.inputs if taken else source.inputs)],
        "outputs": [_tensor(t) for t in taken.outputs] if taken else list(source.outputs),
        "frameworks": list(source.origins),
    }


def export(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    timeout_s: float = typer.Option(900, min=1, help="Seconds one export may take."),
    memory_gib: float = typer.Option(None, min=0.1, help="GiB of memory one export may take; nine tenths of what is free, if not given."),
    jobs: int = typer.Option(1, min=1, help="Exports at the same time."),
    force: bool = typer.Option(False, "--force", help="Export again what has not changed, too."),
    metric_ratio: float = typer.Option(
        MINIMUM_METRIC_RATIO, min=0, max=1, help="The least share of its source's accuracy, of artifacts with labelled samples."
    ),
    facts: bool = typer.Option(True, help="Measure what each artifact takes by itself: some 10 s each, the floor in the report."),
    input: Inputs = None,  # noqa: A002 - the option's name
    output: Outputs = None,
    samples: Samples = "",
    signature: Signature = "",
    allow_pickle: AllowPickle = False,
) -> None:
    """Export to every format, and prove each export right.

    Each export runs in a process of its own; one that fails leaves the others standing, and the exit code is 5. What would come out the
    same (code, weights, tools) is left as it is. A model of your own is given by its path: a .py, .keras, .onnx, .tflite, .pt2 or
    TorchScript file, or a SavedModel directory.
    """
    shared = settings(context)
    said = description(input, output, samples, signature, allow_pickle=allow_pickle)
    selection = select(models=declare(model, said), frameworks=framework, formats=format, precisions=precision)
    stage = load_module("export.export")
    limits = stage.Limits.here(jobs, timeout_s, memory_gib)
    with at_work(shared.workspace, "export"):
        outcomes, skips = stage.export(
            selection, shared.workspace, shared.console, limits, jobs=jobs, force=force, facts=facts, metric_ratio=metric_ratio
        )
        page = load_module("report.exports").write_page(shared.workspace)

    def tables() -> Any:
        shown = table("Exports", "artifact", ">seconds", ">peak memory", ">size", ">difference", ">accuracy", "verdict")
        for o in outcomes:
            m = o.manifest
            if m is None:
                shown.add_row(o.id, *["-"] * 5, f"FAILED: {o.reason}")
                continue
            verdict = "as given: nothing to compare with but itself" if m.framework == GIVEN else "verified"
            verdict += ", unchanged" if o.unchanged else ""
            accuracy = f"{m.parity.metric.artifact:.2%}" if m.parity.metric else "-"
            memory, size = f"{m.peak_memory_bytes / 2**30:.2f} GiB", f"{m.size_bytes / 1e3:,.0f} kB"
            shown.add_row(o.id, f"{m.export_s:.1f}", memory, size, m.parity.agreement or f"{m.parity.max_abs:.2e}", accuracy, verdict)
        for s in skips:
            shown.add_row(s.what, *["-"] * 5, f"skipped: {s.reason}")
        return shown

    shared.emit({"exports": outcomes, "skips": skips}, tables)
    shared.console.say(f"every comparison: {page}")
    failed = [o.id for o in outcomes if o.manifest is None]
    if failed:
        raise GateError(f"{len(failed)} of {len(outcomes)} exports failed: {', '.join(failed)}", hint="the others are ready to be served")


def _tensor(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}[{', '.join('batch' if d is None else str(d) for d in spec.shape)}]"


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else escape(value if isinstance(value, str) else ", ".join(value))
