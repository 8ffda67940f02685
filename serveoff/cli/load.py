"""`serveoff loadtest`, `report`, `ui`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from serveoff import storage
from serveoff.errors import GateError, InputError
from serveoff.launch import LOOPBACK
from serveoff.registry import load_module
from serveoff.results import ClientKind, LoadPlan, RunResult
from serveoff.running import at_work

from .settings import Formats, Frameworks, Launchers, Models, Precisions, Protocols, Servers, Settings, select, settings, terminal


def register(app: typer.Typer) -> None:
    app.command("loadtest")(loadtest)
    app.command("load-worker")(load_worker)
    app.command("report")(report)
    app.command("ui")(ui)


def loadtest(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    server: Servers = None,
    launcher: Launchers = None,
    protocol: Protocols = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="A load profile and its options (repeatable), e.g. constant:rate_rps=400,duration_s=30.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is measured; more make the intervals narrower.")] = 1,
    warmup_s: Annotated[float, typer.Option(help="The least seconds of load before the clock starts.")] = 1.0,
    warmup_limit_s: Annotated[float, typer.Option(help="Seconds after which the clock starts even if the figures are not steady.")] = 1.5,
    timeout_s: Annotated[float, typer.Option(help="Seconds after which a request counts as failed.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the order, of the arrivals and of the samples.")] = 1,
    load_processes: Annotated[int, typer.Option(help="How many processes share one load, where one is not enough.")] = 1,
    workers: Annotated[
        str, typer.Option(help="How many `serveoff load-worker` share each load, or the names of their hosts: 2, or host1,host2.")
    ] = "0",
    master_bind: Annotated[
        str, typer.Option(help="HOST:PORT where they find it; others than this host must be asked for.")
    ] = "127.0.0.1:5557",
    turn_s: Annotated[
        float | None,
        typer.Option(
            help="Rows of one kind by turns of so many seconds, so that the host treats them alike; 0: each by itself.",
            show_default="0.1 from 3 rounds on, else 0",
        ),
    ] = None,
    cpu_sets: Annotated[
        str, typer.Option(help="The cores of every server and of the client: auto (half each), off, or e.g. 0-3:4,5.")
    ] = "auto",
    client: Annotated[ClientKind, typer.Option(help="What sends REST requests: ours, or Locust's FastHttpUser to compare.")] = "raw",
    calibrate: Annotated[bool, typer.Option(help="Measure what the client itself costs, before and after.")] = True,
    witness: Annotated[bool, typer.Option("--witness", help="Rows once more by wrk, h2load, perf_analyzer: those installed.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="The validity limits for a quiet machine of one's own.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew, even where the same load test was interrupted.")] = False,
) -> None:
    """Load every running target alike, and write the report.

    After an interruption the same command goes on with what is missing.
    """
    shared = settings(context)
    selection = select(
        models=model, frameworks=framework, formats=format, precisions=precision, servers=server, launchers=launcher, protocols=protocol
    )
    plan: LoadPlan = load_module("loadtests.plan").make(
        profile or (),
        warmup_s=warmup_s,
        warmup_limit_s=warmup_limit_s,
        timeout_s=timeout_s,
        seed=seed,
        rounds=rounds,
        load_processes=load_processes,
        workers=workers,
        master=master_bind,
        strict=strict,
        cpu_sets=cpu_sets,
        turn_s=turn_s,
    )
    plan = msgspec.structs.replace(plan, client=client, calibrate=calibrate, witness=witness)
    with at_work(shared.workspace, "loadtest"):
        run_dir: Path = load_module("loadtests.run").load_test(selection, plan, shared.workspace, shared.console, fresh=fresh)
    result = _report(shared, run_dir)
    wrong = [c for c in result.cells if c.wrong]
    if wrong:
        raise GateError(f"{len(wrong)} of {len(result.cells)} rows had wrong answers, first {wrong[0].target.id}", hint="see the report")


def load_worker(
    context: typer.Context,
    master: Annotated[str, typer.Option(help="HOST:PORT of the load test, as its --master-bind says.")] = "127.0.0.1:5557",
) -> None:
    """Take a share of the loads of a load test that runs elsewhere.

    Needs neither a workspace nor a framework; goes on with one load after the other until Ctrl-C.
    """
    shared = settings(context)
    with suppress(KeyboardInterrupt):  # that is how one leaves
        load_module("loadtests.distributed").work(master, shared.workspace.root, shared.console)


def report(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="A run's id or directory; the default is the last one.")] = "",
) -> None:
    """Write the report of a load test again, and show it."""
    shared = settings(context)
    _report(shared, find_run(shared, run))


def ui(
    context: typer.Context,
    model: Models = None,
    framework: Frameworks = None,
    format: Formats = None,  # noqa: A002 - the option's name
    precision: Precisions = None,
    server: Servers = None,
    launcher: Launchers = None,
    protocol: Protocols = None,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = 8089,
    listen: Annotated[str, typer.Option(help="The address to listen on. The page has no password.")] = LOOPBACK,
) -> None:
    """Locust's web page on the running targets.

    Target, protocol and load are picked there.
    """
    shared = settings(context)
    selection = select(
        models=model, frameworks=framework, formats=format, precisions=precision, servers=server, launchers=launcher, protocols=protocol
    )
    with at_work(shared.workspace, "ui"):
        load_module("loadtests.ui").ui(selection, shared.workspace, shared.console, port, listen)


def _report(shared: Settings, run_dir: Path) -> RunResult:
    command = load_module("report.command")
    paths: tuple[Path, Path] = command.write_report(run_dir)
    result = storage.read(run_dir / "run.json", RunResult)
    if shared.json:
        typer.echo((run_dir / "run.json").read_text())
    else:
        command.print_report(result, terminal())
    for path in (*paths, run_dir / "run.json"):
        shared.console.say(f"written: {path}")
    return result


def find_run(shared: Settings, run: str) -> Path:
    runs = shared.workspace.runs
    if run:
        found = [path for path in (runs / run, Path(run)) if (path / "run.json").exists()]
    else:
        found = sorted((path.parent for path in runs.glob("*/run.json")), reverse=True)
    if not found:
        raise InputError(
            f"no run {run!r} in {runs}" if run else f"there is no load test in {runs} yet", hint="make one: `serveoff loadtest`"
        )
    return found[0]
