"""A load test: every running target, over each protocol, under each profile of the plan. What is finished is on disk at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import serveoff
from serveoff import host, livecheck, storage
from serveoff.console import Bar, Console
from serveoff.contract import Parity
from serveoff.errors import NotReadyError
from serveoff.results import Cell, Floor, LoadPlan, RunResult, Witness
from serveoff.selection import Selection
from serveoff.training import ThroughputResult, TrainingRecord, TwinProof
from serveoff.workspace import Workspace

from . import calibration, candidates, cpu_sets, distributed, floor, measure, payloads, resume, rounds, witness
from .calibration import Calibrator
from .candidates import Candidate
from .cell import Subject, cell, load, load_by_turns
from .handover import Payloads
from .resume import RESULT, Intent
from .rounds import Step
from .turns import Turns


def load_test(selection: Selection, plan: LoadPlan, workspace: Workspace, console: Console, *, fresh: bool = False) -> Path:
    """Run the plan and return the run's directory, whose `run.json` grows cell by cell. An interrupted run is gone on with, unless `fresh`.

    A wrong answer or a target that dies makes its cells INVALID, and the run goes on. Raises NotReadyError when nothing can be loaded.
    """
    chosen = [candidate for group in candidates.find(workspace, selection) for candidate in group]
    distributed.check(plan, (candidate.target for candidate in chosen))
    if plan.workers:
        where = f", from {', '.join(plan.worker_hosts)}" if plan.worker_hosts else ""
        console.say(f"{plan.workers} load workers are to come{where}: serveoff load-worker --master {plan.master}")
    wanted = resume.intent(plan, chosen)
    unfinished = None if fresh else resume.find(workspace, wanted, console)
    directory, earlier = unfinished or (_new_directory(workspace), None)
    storage.write(directory / resume.INTENT, wanted)
    writer = _Writer(workspace, selection, directory, wanted, earlier)
    running = candidates.running(workspace)
    with Turns(running, workspace.root, console) as turns, ExitStack() as stack:
        turns.rest()
        writer.floors = writer.floors or _floors(chosen, plan, workspace.root, directory, console)
        servers = cpu_sets.server_cores(plan.cpu_sets)
        writer.cpu_sets = stack.enter_context(cpu_sets.apart(running, plan.cpu_sets, console))
        client = calibration.begin(chosen, plan, turns, calibration.Place(workspace.root, directory / "calibration", servers))
        writer.client = client
        with console.bar("load", wanted.rows) as bar:
            test = _Test(plan, workspace.root, directory, turns, client, bar)
            there = tuple(writer.cells)
            for number, done in enumerate(rounds.play(chosen, plan, resume.replayed(there, test.measure))):
                if number >= len(there):
                    writer.add(done)
                    bar.advance_to(sum(c.attempt == 1 for c in writer.cells), _line(done))
        if plan.witness:
            writer.hear_witnesses(turns)
        turns.rest()
        client.after()
    writer.write(finished=True)
    return directory


def _floors(chosen: Sequence[Candidate], plan: LoadPlan, owner: Path, directory: Path, console: Console) -> tuple[Floor, ...]:
    wanted, cores = floor.subjects(chosen), cpu_sets.server_cores(plan.cpu_sets)
    found = []
    with console.bar("without a server", len(wanted)) as bar:
        for one in floor.measure(wanted, owner, directory / "floor", cores):
            found.append(one)
            bar.advance_to(len(found), f"{one.artifact_id}: {one.reason or f'{one.p50_us:.0f} us a call'}")
    return tuple(found)


class _Writer:
    """The run so far, written whole after each cell: an interruption loses nothing that was finished."""

    def __init__(self, workspace: Workspace, selection: Selection, directory: Path, wanted: Intent, earlier: RunResult | None) -> None:
        self.cells = list(earlier.cells) if earlier else []
        self.cpu_sets = ""
        self.floors = earlier.floors if earlier else ()
        self._host = host.facts()  # before we give away the servers' cores
        self.client: Calibrator | None = None
        self._witness: tuple[Witness, ...] | None = None
        self._directory, self._wanted = directory, wanted
        self._created_at = earlier.created_at if earlier else datetime.now(UTC).isoformat(timespec="seconds")
        self._started = time.monotonic() - (earlier.seconds if earlier else 0)
        self._skips = candidates.skips(workspace, selection)
        checkpoints = workspace.root / "checkpoints"
        self._training = tuple(storage.read(path, TrainingRecord) for path in sorted(checkpoints.glob("*/training-*.json")))
        self._throughput = storage.read(workspace.throughput, ThroughputResult) if workspace.throughput.exists() else None
        self._twins = tuple(storage.read(path, TwinProof) for path in sorted(checkpoints.glob("*/twin.json")))

    def add(self, done: Cell) -> None:
        self.cells.append(done)
        self.write()

    def hear_witnesses(self, turns: Turns) -> None:
        self._witness, skips = witness.hear(self.cells, self._directory / "cells", turns)
        self._skips += skips

    def write(self, *, finished: bool = False) -> None:
        result = RunResult(
            run_id=self._directory.name,
            serveoff_version=serveoff.__version__,
            created_at=self._created_at,
            seconds=time.monotonic() - self._started,
            plan=self._wanted.plan,
            host=self._host,
            cells=tuple(self.cells),
            skips=self._skips + (self.client.skips if self.client else ()),
            training=self._training,
            twins=self._twins,
            finished=finished,
            planned_rows=self._wanted.rows,
            cpu_sets=self.cpu_sets,
            floors=self.floors,
            throughput=self._throughput,
            calibrations=self.client.results if self.client else (),
            witness=self._witness,
        )
        storage.write(self._directory / RESULT, result)


class _Test:
    """What all steps of one load test share."""

    def __init__(self, plan: LoadPlan, owner: Path, run_dir: Path, turns: Turns, client: Calibrator, bar: Bar) -> None:
        self._plan, self._owner, self._run_dir, self._turns, self._client, self._bar = plan, owner, run_dir, turns, client, bar
        self._payloads: dict[str, Payloads] = {}

    def measure(self, steps: Sequence[Step]) -> Iterable[Cell]:
        """Load these, by turns where there are several."""
        if len(steps) > 1:
            return load_by_turns(steps, self._ready, self._plan, self._owner, self._bar.tell)
        subject = self._ready(steps[0])
        return [load(subject, steps[0], self._plan, self._owner) if isinstance(subject, Subject) else subject]

    def _ready(self, step: Step) -> Subject | Cell:
        """Wake the target, and make sure that it answers correctly; else a cell says why not."""
        candidate = step.candidate
        not_compared = Parity(tolerance=candidate.artifact.manifest.parity.tolerance, checks=())
        died = candidates.exit_reason(candidate.target)
        if died is not None:
            return cell(step, self._plan, not_compared, [f"the target had died: {died}"])
        self._turns.give(candidate.target)
        try:
            live_check = livecheck.check(candidate.target, candidate.artifact, candidate.endpoint.protocol)
        except NotReadyError as error:
            return cell(step, self._plan, not_compared, [f"no answer to the live check: {error.message}"])
        if not live_check.passed:
            return cell(step, self._plan, live_check, [f"wrong answer before the load: {live_check.reason}"])
        directory = self._run_dir / "cells" / f"{candidate.target.id}.{candidate.endpoint.protocol}"
        if candidate.name not in self._payloads:
            self._payloads[candidate.name] = payloads.write(
                directory / payloads.FILE, candidate.artifact, candidate.endpoint, candidate.wire
            )
        return Subject(candidate, live_check, directory, self._payloads[candidate.name], self._client.cost(candidate.endpoint.protocol))


def _new_directory(workspace: Workspace) -> Path:
    """A directory named after the moment, so that names sort by time."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        directory = workspace.runs / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise FileExistsError(workspace.runs / stamp)


def _line(done: Cell) -> str:
    """What a person sees of a finished cell while the run goes on."""
    name = f"{done.target.id} {done.protocol} {done.profile.name}" + (f", round {done.round}" if done.round > 1 else "")
    m = done.measurement
    if m is None or m.requests == sum(m.errors.values()):
        return f"{name}: {done.verdict}: {'; '.join(done.reasons)}"
    at = measure.percentiles_us(m.latency_hdr, (50, 99))
    numbers = f"{m.throughput_rps:,.0f}/s, p50 {at[50] / 1000:.3f} ms, p99 {at[99] / 1000:.3f} ms"
    return f"{name}: {numbers}" + (f", INVALID: {'; '.join(done.reasons)}" if done.reasons else "")
