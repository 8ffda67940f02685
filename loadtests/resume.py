"""Going on with a load test that was interrupted. Its order is a matter of the seed: the cells that are there stand for the first steps.

Only on the same targets: one that was started again is another process, with other caches and another place in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import serveoff
from serveoff import storage
from serveoff.console import Console
from serveoff.contract import Struct
from serveoff.errors import InputError
from serveoff.results import Cell, LoadPlan, RunResult
from serveoff.workspace import Workspace

from .candidates import Candidate
from .rounds import Measure, Step

INTENT, RESULT = "intent.json", "run.json"

T = TypeVar("T", "Intent", RunResult)


class Subject(Struct, frozen=True, kw_only=True):
    """One protocol of one target, as it was started then."""

    target: str
    protocol: str
    artifact: str
    started_at: str


class Intent(Struct, frozen=True, kw_only=True):
    """What a load test was to measure, written before it begins."""

    schema: int = 1
    serveoff_version: str
    plan: LoadPlan
    subjects: tuple[Subject, ...]

    @property
    def rows(self) -> int:
        """How many (target, protocol, profile, round) there are."""
        return len(self.subjects) * len(self.plan.profiles) * self.plan.rounds


def intent(plan: LoadPlan, chosen: Sequence[Candidate]) -> Intent:
    subjects = (
        Subject(target=c.target.id, protocol=c.endpoint.protocol, artifact=c.target.artifact_id, started_at=c.target.started_at)
        for c in chosen
    )
    return Intent(serveoff_version=serveoff.__version__, plan=plan, subjects=tuple(subjects))


def find(workspace: Workspace, wanted: Intent, console: Console) -> tuple[Path, RunResult | None] | None:
    """The last run of this plan on these targets and what it has, where it was interrupted; None: there is none, or it says why not."""
    for directory in sorted(workspace.runs.glob("*"), reverse=True):
        then = _read(directory / INTENT, Intent)
        if then is None or then.plan != wanted.plan or _names(then) != _names(wanted):
            continue
        found = _read(directory / RESULT, RunResult)
        if found is not None and found.finished:
            return None
        changed = _changed(then, wanted)
        if changed:
            console.say(f"{directory.name} is unfinished, and stays so: {changed}")
            return None
        rows = sum(cell.attempt == 1 for cell in found.cells) if found else 0
        console.say(f"resuming {directory.name}: {rows} of {wanted.rows} rows are there (--fresh starts anew)")
        return directory, found
    return None


def replayed(cells: Sequence[Cell], measure: Measure) -> Measure:
    """Answers the first steps with `cells`, and measures the others. Raises InputError where they do not belong together."""
    left = iter(cells)

    def answer(steps: Sequence[Step]) -> Iterator[Cell]:
        there = list(islice(left, len(steps)))
        for step, cell in zip(steps, there, strict=False):
            asked = (step.candidate.target.id, step.candidate.endpoint.protocol, step.round, step.attempt)
            if (cell.target.id, cell.protocol, cell.round, cell.attempt) != asked:
                raise InputError(
                    f"the unfinished run has {cell.target.id} where {asked[0]} was due", hint="`serveoff loadtest --fresh` starts anew"
                )
            yield cell
        if len(there) < len(steps):
            yield from measure(steps[len(there) :])

    return answer


def _subject(one: Candidate) -> Subject:
    target = one.target
    return Subject(target=target.id, protocol=one.endpoint.protocol, artifact=target.artifact_id, started_at=target.started_at)


def _names(one: Intent) -> list[tuple[str, str]]:
    return [(s.target, s.protocol) for s in one.subjects]


def _changed(then: Intent, now: Intent) -> str | None:
    if then.serveoff_version != now.serveoff_version:
        return f"serveoff was {then.serveoff_version} then, and is {now.serveoff_version}"
    for before, after in zip(then.subjects, now.subjects, strict=True):
        if before != after:
            return f"{after.target} was started again since"
    return None


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return storage.read(path, kind)
    except InputError:  # not there, or of an older or newer serveoff
        return None
