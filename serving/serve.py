"""`serveoff serve`: starts what can run here, and returns when each target has answered real requests correctly over each protocol."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

import msgspec

from serveoff import artifacts, host, livecheck, reference, skips, storage
from serveoff.console import Console
from serveoff.contract import Manifest, Skip
from serveoff.errors import GateError, InputError, MissingToolError, NotReadyError, ServeoffError
from serveoff.launch import LOOPBACK, Target
from serveoff.plugins import Launcher
from serveoff.registry import LAUNCHERS, SERVERS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

from . import places, ports, ready, targets
from .matrix import Wanted, covered, matrix
from .places import Place

_AT_ONCE = 4
_KEPT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One target: up, or the error that kept it from coming up. `kept`: it was running already, with this artifact.

    `exposed`: it listens on every address of this host, not only on 127.0.0.1 (`tensorflow_model_server` has no flag for that).
    """

    id: str
    target: Target | None
    error: ServeoffError | None = None
    kept: bool = False
    exposed: bool = False


def serve(
    selection: Selection,
    workspace: Workspace,
    console: Console,
    threads: int | None = None,
    listen: str = LOOPBACK,
    at: Sequence[Place] = (),
) -> tuple[list[Outcome], list[Skip]]:
    """Start the selected targets; `threads` is what one call of a model may use, `listen` the address of this host where they are reached.

    `at`: nothing is started, these are attached. What is missing stands in `targets/skips.json`, too.

    One that fails is stopped and leaves the others standing: see `verdict`. Interrupted, everything that this call started is stopped.
    Raises UsageError for an address that this host does not have.
    """
    ports.require_address(listen)
    found = artifacts.find(workspace, selection)
    if not found:
        raise InputError("there is no artifact to serve", hint="`serveoff export` makes them; `serveoff models` shows what there could be")
    if at:
        selection = replace(selection, servers=tuple(place.server for place in at), launchers=(places.LAUNCHER,))
    wanted, skipped = places.wanted(at, found) if at else matrix(selection, found)
    outcomes = sorted(_serve_all(wanted, workspace, console, _Means(threads or default_threads(), listen)), key=lambda outcome: outcome.id)
    missing = {o.id: o.error for o in outcomes if isinstance(o.error, MissingToolError)}
    skipped += [Skip(stage="serve", what=name, reason=f"{e.message}: {e.hint}" if e.hint else e.message) for name, e in missing.items()]
    failed = [Skip(stage="serve", what=o.id, reason=f"failed: {o.error}") for o in outcomes if o.error and o.id not in missing]
    servable = {artifact.manifest.id for artifact in artifacts.find(workspace, Selection())}
    skips.update(workspace.targets / "skips.json", lambda skip: covered(skip, selection, found, servable), (*skipped, *failed))
    return [outcome for outcome in outcomes if outcome.id not in missing], skipped


@dataclass(frozen=True, slots=True)
class _Means:
    """What every target gets."""

    threads: int
    listen: str


def default_threads() -> int:
    """Half of the cores: the client that measures runs on the same machine."""
    return max(1, host.cores() // 2)


def verdict(outcomes: Sequence[Outcome], skips: Sequence[Skip]) -> None:
    """Raise the error with which the command ends: the gravest, with all the reasons; none when everything that could run is up."""
    if not outcomes:
        reasons = "\n".join(f"  {skip.what}: {skip.reason}" for skip in skips)
        raise MissingToolError(f"nothing of what you selected can be served here:\n{reasons}")
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if errors:
        gravest = max(errors, key=lambda error: error.exit_code)
        raise type(gravest)("\n".join(error.message for error in errors), gravest.hint)


def _serve_all(wanted: Sequence[Wanted], workspace: Workspace, console: Console, means: _Means) -> list[Outcome]:
    cancelled = threading.Event()
    outcomes: list[Outcome] = []
    with (
        ThreadPoolExecutor(max_workers=max(1, min(_AT_ONCE, host.cores()))) as pool,
        console.bar("serve", len(wanted)) as bar,
    ):
        futures = [pool.submit(_serve_one, one, workspace, means, cancelled) for one in wanted]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                outcome = future.result()
                outcomes.append(outcome)
                bar.advance_to(number, f"{outcome.id}: {_words(outcome)}")
        except BaseException:
            cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future in futures:
                if not future.cancelled() and future.exception() is None:
                    _undo(future.result(), workspace)
            raise
    return outcomes


def _undo(outcome: Outcome, workspace: Workspace) -> None:
    if outcome.target is not None and not outcome.kept:
        targets.end(outcome.target, workspace.targets / outcome.id / targets.RECORD)


def _words(outcome: Outcome) -> str:
    if outcome.target is None:
        return f"failed: {outcome.error.message.splitlines()[0] if outcome.error else ''}"
    told = "kept, it was running" if outcome.kept else f"up after {outcome.target.ready_s:.1f} s"
    return f"{told}; it listens on all addresses of this host" if outcome.exposed else told


def _serve_one(one: Wanted, workspace: Workspace, means: _Means, cancelled: threading.Event) -> Outcome:
    try:
        artifacts.verify(one.artifact)
        reference.load(one.artifact.reference_file)  # damaged, it would be noticed only after the server has come up
        if one.place is None and (kept := _running_already(one, workspace, means)) is not None:
            return Outcome(one.id, kept, kept=True)
        if cancelled.is_set():
            raise NotReadyError(f"{one.id} was not started")
        target = _start(one, workspace, means, cancelled)
        return Outcome(one.id, target, exposed=ready.is_exposed(target, LAUNCHERS.load(one.launcher)))
    except ServeoffError as error:
        return Outcome(one.id, None, error)
    except (OSError, ValueError) as error:  # of this target only: a full disk, a file that nobody may read
        failure = ServeoffError(f"{one.id} could not be started: {error}", hint=f"look into {workspace.targets / one.id}")
        failure.__cause__ = error
        return Outcome(one.id, None, failure)


def _running_already(one: Wanted, workspace: Workspace, means: _Means) -> Target | None:
    """The recorded target, when it serves these very files with these threads, and answers correctly; any other is stopped."""
    directory = workspace.targets / one.id
    record = directory / targets.RECORD
    if not record.exists():
        return None
    target = storage.read(record, Target)
    same = storage.read(directory / artifacts.MANIFEST, Manifest).files == one.artifact.manifest.files
    same = same and target.threads == means.threads and {e.host for e in target.endpoints} == {means.listen}
    if same and target.ready_s is not None and LAUNCHERS.load(target.launcher).alive(target):
        try:
            if all(livecheck.check(target, one.artifact, e.protocol, (1,), _KEPT_TIMEOUT_S).passed for e in target.endpoints):
                return target
        except NotReadyError:
            pass
    targets.end(target, record)
    return None


def _start(one: Wanted, workspace: Workspace, means: _Means, cancelled: threading.Event) -> Target:
    directory, launcher = workspace.targets / one.id, LAUNCHERS.load(one.launcher)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    started = time.monotonic()
    spec = SERVERS.load(one.server).launch_spec(one.artifact, launcher.kind, directory, means.threads)
    spec = one.place.of(spec) if one.place else msgspec.structs.replace(spec, listen=means.listen)
    storage.write(directory / "launch.json", spec)
    storage.write(directory / artifacts.MANIFEST, one.artifact.manifest)
    target = launcher.start(one.id, spec, one.artifact, directory)
    record = directory / targets.RECORD
    try:
        storage.write(record, target)
        ready.wait(target, spec, launcher, cancelled)
        for endpoint in target.endpoints:
            _check(target, one, endpoint.protocol, launcher)
            if target.ready_s is None:
                target = msgspec.structs.replace(target, ready_s=time.monotonic() - started)
        storage.write(record, target)
    except BaseException:
        targets.end(target, record)
        raise
    return target


def _check(target: Target, one: Wanted, protocol: str, launcher: Launcher) -> None:
    hint = f"its whole log is {target.log}"
    try:
        parity = livecheck.check(target, one.artifact, protocol)
    except NotReadyError as error:
        raise NotReadyError(f"{target.id} gave no answer: {error.message}; it {launcher.exit_reason(target)}", hint) from error
    if not parity.passed:
        raise GateError(f"{target.id} answers wrongly over {protocol}: {parity.reason}", hint)
