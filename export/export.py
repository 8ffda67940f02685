"""`serveoff export`: every wanted artifact in a child process of its own. One that fails leaves the others standing."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from serveoff import artifacts, own_models, process, storage
from serveoff.artifacts import MANIFEST
from serveoff.console import Console
from serveoff.contract import ExportFailure, Facts, Manifest, Origin, Skip
from serveoff.errors import GateError, UsageError
from serveoff.host import cores
from serveoff.parity import MINIMUM_METRIC_RATIO
from serveoff.registry import load_module
from serveoff.running import at_work
from serveoff.selection import Selection
from serveoff.skips import update
from serveoff.training import TwinProof
from serveoff.workspace import Workspace

from . import unchanged
from .facts import SAID
from .matrix import Wanted, matrix, without

TIMEOUT_S = 900.0
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
_HUGE_PAGES = {"GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")}
"""glibc asks for huge pages, if the user has said nothing else. A large batch takes gigabytes and gives them back, layer by layer: of
PyTorch's time with 64 images two fifths went into pages of 4 kB. Not for what converts from Keras: of full ResNet-50 tf2onnx took 16 s
with them, and 11 s without."""
_INDUCTOR_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Half a gigabyte of what AOTInductor compiles on the way would stay in the system's temporary folder."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either a manifest or the reason why there is none. `unchanged`: it was there, and would come out the same."""

    id: str
    manifest: Manifest | None
    reason: str
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one export may take."""

    timeout_s: float
    memory_bytes: int
    threads: int = 1

    @classmethod
    def here(cls, jobs: int, timeout_s: float = TIMEOUT_S, memory_gib: float | None = None) -> Limits:
        """The jobs share the cores and, by default, nine tenths of the memory that is free: tf2onnx takes 6 to 10 GiB for a large model."""
        free = int(psutil.virtual_memory().available * 0.9 / jobs)
        return cls(timeout_s, free if memory_gib is None else int(memory_gib * 2**30), max(1, cores() // jobs))


def export(
    selection: Selection,
    workspace: Workspace,
    console: Console,
    limits: Limits | None = None,
    *,
    jobs: int = 1,
    force: bool = False,
    facts: bool = True,
    metric_ratio: float = MINIMUM_METRIC_RATIO,
) -> tuple[list[Outcome], list[Skip]]:
    """Train what has no checkpoint yet, then export the selected cells, `jobs` at a time.

    An artifact that would come out the same is left as it is, unless `force`; where it has no facts yet, they are added if they are
    wanted. What is missing here stands in `artifacts/skips.json`, too; what exists nowhere is only returned.
    """
    cells = list(matrix(selection, workspace))
    lacking = list(without(selection, workspace))
    if not cells:
        why = "; ".join(f"{skip.what}: {skip.reason}" for skip in lacking)
        raise UsageError("no format is exported from what you selected", hint=why or "`serveoff models` shows what goes together")
    for left in (path for made in (".staging-*", ".old-*") for path in workspace.artifacts.glob(made)):
        shutil.rmtree(left, ignore_errors=True)  # an export that was interrupted left it
    skips: list[Skip] = []
    wanted: list[Wanted] = []
    for cell in cells:
        if reason := cell.source.missing():
            skips.append(Skip(stage="export", what=cell.id, reason=reason))
        else:
            wanted.append(cell)
    for model in dict.fromkeys(cell.model for cell in wanted):
        _ensure_checkpoint(model, workspace, console)
    how = _How(limits or Limits.here(jobs), force, facts, metric_ratio)
    outcomes = _export_all(wanted, workspace, console, how, jobs)
    failed = [Skip(stage="export", what=o.id, reason=f"the export failed: {o.reason}") for o in outcomes if o.manifest is None]
    notes = [note for model in dict.fromkeys(cell.model for cell in cells) for note in _notes(model, workspace)]
    about = {cell.id for cell in cells} | {cell.model for cell in cells}

    def covered(skip: Skip) -> bool:
        return skip.what in about or (workspace.artifacts / skip.what / MANIFEST).exists()

    update(workspace.artifacts / "skips.json", covered, (*notes, *skips, *failed))
    return outcomes, [*skips, *lacking]


@dataclass(frozen=True, slots=True)
class _How:
    """What the user has asked of each export."""

    limits: Limits
    force: bool
    facts: bool
    metric_ratio: float


def _export_all(cells: Sequence[Wanted], workspace: Workspace, console: Console, how: _How, jobs: int) -> list[Outcome]:
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=jobs) as pool, console.bar("export", len(cells)) as bar:
        try:
            futures: dict[str, Future[Outcome]] = {}
            for cell in sorted(cells, key=lambda cell: cell.float32 != ""):  # what another one begins with comes before it
                futures[cell.id] = pool.submit(_export_one, cell, workspace, how, cancelled, after=futures.get(cell.float32))
            for number, future in enumerate(as_completed(futures.values()), 1):
                done = future.result()
                bar.advance_to(number, f"{done.id}: {done.reason or ('unchanged' if done.unchanged else 'verified')}")
        except BaseException:
            cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [futures[cell.id].result() for cell in cells]


def _notes(model: str, workspace: Workspace) -> Iterator[Skip]:
    """For the report: what of a model of the user's own was not compared, and what was supposed."""
    if own_models.find(workspace, model) is None or not (workspace.checkpoint(model) / own_models.FINISHED).exists():
        return
    proof = storage.read(workspace.checkpoint(model) / own_models.FINISHED, TwinProof)
    reasons = [proof.unproved] if proof.unproved else []
    for reason in (*reasons, *own_models.taken(workspace.checkpoint(model), proof.weights_from).notes):
        yield Skip(stage="train", what=model, reason=reason)


def _ensure_checkpoint(model: str, workspace: Workspace, console: Console) -> None:
    """Train what has not been trained. Raises GateError when its twins are not equal: exports of unequal twins are not comparable."""
    path = workspace.checkpoint(model) / own_models.FINISHED
    if not path.exists():
        with at_work(workspace, "train"):
            if own_models.find(workspace, model):
                load_module("models.intake").take_in(model, workspace, console)
            else:
                console.say(f"{model} has not been trained yet: training it first")
                load_module("models.train").train(Selection(models=(model,)), workspace, console)
    parity = storage.read(path, TwinProof).parity
    if parity is not None and not parity.passed:
        raise GateError(f"the twins of {model} do not compute the same: {parity.reason}", hint="compare the two builds in models/zoo")


def _export_one(cell: Wanted, workspace: Workspace, how: _How, cancelled: threading.Event, *, after: Future[Outcome] | None) -> Outcome:
    if after is not None:
        wait([after])
    final, staging, limits = workspace.artifacts / cell.id, workspace.artifacts / f".staging-{cell.id}", how.limits
    if not how.force and _comes_out_the_same(cell, workspace, how):
        if how.facts and artifacts.read(final).manifest.facts is None and not _add_facts(final, workspace, limits, cancelled):
            return Outcome(cell.id, None, "interrupted")
        return Outcome(cell.id, artifacts.read(final).manifest, "", unchanged=True)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    arguments = ["--model", cell.model, "--framework", cell.framework, "--format", cell.format, "--precision", cell.precision]
    arguments += ["--threads", str(limits.threads), "--metric-ratio", str(how.metric_ratio)]
    if cell.float32 and not unchanged.change(workspace.artifacts / cell.float32, workspace.checkpoint(cell.model), cell.framework):
        arguments += ["--float32", str(workspace.artifacts / cell.float32)]
    result = process.run_child(
        process.python("export.worker", *arguments, "--checkpoint", str(workspace.checkpoint(cell.model)), "--out", str(staging)),
        env=process.environment(workspace.root, _environment(cell.framework, workspace)),
        log=staging / "export.log",
        timeout_s=limits.timeout_s,
        memory_bytes=limits.memory_bytes,
        cancelled=cancelled,
    )
    if result.ended_for == "cancelled":
        return Outcome(cell.id, None, "interrupted")
    if not result.ok and not (staging / "failure.json").exists():
        failure = ExportFailure(artifact_id=cell.id, reason=_reason(result, limits), log="export.log")
        storage.write(staging / "failure.json", failure)
    if how.facts and (staging / MANIFEST).exists() and not _add_facts(staging, workspace, limits, cancelled):
        return Outcome(cell.id, None, "interrupted")
    _replace(final, staging)
    if (final / MANIFEST).exists():
        return Outcome(cell.id, artifacts.read(final).manifest, "")
    failure = storage.read(final / "failure.json", ExportFailure)
    return Outcome(cell.id, None, f"{failure.reason} (log: {final / failure.log})")


def _environment(framework: Origin, workspace: Workspace) -> dict[str, str]:
    inductor = {_INDUCTOR_CACHE: os.environ.get(_INDUCTOR_CACHE, str(workspace.cache / "torchinductor"))}
    return _QUIET | inductor | (_HUGE_PAGES if framework == "pytorch" else {})


def _comes_out_the_same(cell: Wanted, workspace: Workspace, how: _How) -> bool:
    final = workspace.artifacts / cell.id
    if unchanged.change(final, workspace.checkpoint(cell.model), cell.framework):
        return False
    metric = artifacts.read(final).manifest.parity.metric
    return metric is None or metric.minimum_ratio == how.metric_ratio


def _add_facts(directory: Path, workspace: Workspace, limits: Limits, cancelled: threading.Event) -> bool:
    """Measure what the artifact takes by itself, and add it to the manifest. False when that was interrupted."""
    result = process.run_child(
        process.python("export.facts", str(directory), str(workspace.root)),
        env=process.environment(workspace.root, _QUIET),
        log=directory / "facts.log",
        timeout_s=limits.timeout_s,
        memory_bytes=limits.memory_bytes,
        cancelled=cancelled,
    )
    if result.ended_for == "cancelled":
        return False
    *_, last = result.tail.splitlines() or [""]
    if result.ok and last.startswith(SAID):
        found = storage.converted(msgspec.json.decode(last.removeprefix(SAID)), Facts)
    else:
        found = Facts(reason=_reason(result, limits))
    manifest = artifacts.read(directory).manifest
    storage.write(directory / MANIFEST, msgspec.structs.replace(manifest, facts=found))
    return True


def _reason(result: process.ChildResult, limits: Limits) -> str:
    if result.ended_for == "time":
        return f"the export took longer than {limits.timeout_s:.0f} s"
    if result.ended_for == "memory":
        return f"the export needed more than {limits.memory_bytes / 2**30:.1f} GiB of memory (--memory-gib allows more)"
    if result.exit_code == -signal.SIGKILL:
        return "the export was killed from outside, most likely because the machine ran out of memory"
    lines = [line for line in result.tail.splitlines() if line.strip()]
    last = lines[-1].removeprefix("@failed ") if lines else "it printed nothing"
    if result.exit_code < 0:
        return f"the export crashed ({signal.strsignal(-result.exit_code)}); the last line of its log: {last}"
    return last if lines and lines[-1].startswith("@failed ") else f"the export ended with exit code {result.exit_code}: {last}"


def _replace(final: Path, staging: Path) -> None:
    """Put a finished directory in place. A crash in between leaves no artifact, never half of one."""
    old = final.with_name(f".old-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    staging.rename(final)
    shutil.rmtree(old, ignore_errors=True)
