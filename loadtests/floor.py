"""The floor: what an artifact takes without any server. Its runtime is called in a process of its own, with a server's threads and cores.

Once for each artifact and number of threads of a run, while all servers sleep. Several processes are started together, because loading a
framework is what takes the time; then they are asked one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import affinity
from serveoff.in_process import InProcess
from serveoff.plugins import Artifact
from serveoff.results import Floor

from .candidates import Candidate

_CALLS_S = 0.5
"""How long each is called."""
_WARM_UP = 50
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Subject:
    """What a floor is of."""

    artifact: Artifact
    threads: int

    @property
    def batch(self) -> int:
        return self.artifact.manifest.fixed_batch or 1


def subjects(candidates: Sequence[Candidate]) -> list[Subject]:
    """Each once, in order."""
    found = {(c.artifact.manifest.id, c.target.threads): Subject(c.artifact, c.target.threads) for c in candidates}
    return [found[key] for key in sorted(found)]


def measure(wanted: Sequence[Subject], owner: Path, directory: Path, cores: Collection[int] | None) -> Iterator[Floor]:
    """One after the other, on `cores`. Never raises for what an artifact does: a floor that could not be measured says why."""
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        with contextlib.ExitStack() as running:
            begun = [running.enter_context(_in_process(subject, owner, directory)) for subject in some]
            for subject, one in zip(some, begun, strict=True):
                _warm(subject, one, cores)
            for subject, one in zip(some, begun, strict=True):
                yield _ask(subject, one)


def _in_process(subject: Subject, owner: Path, directory: Path) -> InProcess:
    log = directory / f"{subject.artifact.manifest.id}.{subject.threads}.log"
    return InProcess(subject.artifact, subject.threads, owner, log)


def _warm(subject: Subject, one: InProcess, cores: Collection[int] | None) -> None:
    """Until the model is loaded and warm; then it may use these cores only, as a server may."""
    one.loaded()
    one.call(subject.batch, at_least=_WARM_UP)
    if one.pid is not None and cores is not None:
        affinity.pin(one.pid, cores)


def _ask(subject: Subject, one: InProcess) -> Floor:
    calls = one.call(subject.batch, _CALLS_S)
    if calls is None:
        return Floor(artifact_id=subject.artifact.manifest.id, threads=subject.threads, batch=subject.batch, reason=one.reason)
    return Floor(artifact_id=subject.artifact.manifest.id, **msgspec.structs.asdict(calls))
