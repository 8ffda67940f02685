"""The floor: what an artifact takes without any server. Its runtime is called in a process of its own, with a server's threads and cores.

Once for each artifact and number of threads of a run, while all servers sleep. Several processes are started together, because loading a
framework is what takes the time; then they are asked one after the other.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from serveoff import affinity, process
from serveoff.plugins import Artifact
from serveoff.registry import RUNTIMES
from serveoff.results import Floor

from .candidates import Candidate

_CALLS_S = 0.5
"""How long each is called."""
_LOAD_S = 90.0
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
        with contextlib.ExitStack() as running:
            begun = [running.enter_context(_Call(subject, owner, directory)) for subject in wanted[first : first + _AT_ONCE]]
            for call in begun:
                call.wait(cores)
            for call in begun:
                yield call.ask()


class _Call:
    """One process, from its start to its end. It ends with its input, so also when we are killed."""

    def __init__(self, subject: Subject, owner: Path, directory: Path) -> None:
        self._subject, self._owner = subject, owner
        self._log = directory / f"{subject.artifact.manifest.id}.{subject.threads}.log"
        self._child: subprocess.Popen[str] | None = None
        self._reason = ""

    def __enter__(self) -> _Call:
        manifest, artifact = self._subject.artifact.manifest, self._subject.artifact
        runtime = next((name for name, runtime in RUNTIMES.all().items() if runtime.serve_file == manifest.serve_file), None)
        if runtime is None or not (artifact.version_dir / manifest.serve_file).exists():
            self._reason = f"there is no runtime for {manifest.serve_file} here, or the artifact is gone"
            return self
        what = (runtime, artifact.version_dir, artifact.reference_file, self._subject.batch, self._subject.threads)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                process.python("loadtests.floor_worker", *map(str, what)),
                env=process.environment(self._owner),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()

    def wait(self, cores: Collection[int] | None) -> None:
        """Until the model is loaded and warm; then it may use these cores only, as a server may."""
        if self._read(_LOAD_S) and self._child is not None and cores is not None:
            affinity.pin(self._child.pid, cores)

    def ask(self) -> Floor:
        subject, line = self._subject, ""
        if self._child is not None and not self._reason:
            assert self._child.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.write(f"{_CALLS_S}\n")
                self._child.stdin.flush()
            line = self._read(_CALLS_S + _LOAD_S)
        measured = {} if self._reason else json.loads(line)
        return Floor(
            artifact_id=subject.artifact.manifest.id, threads=subject.threads, batch=subject.batch, reason=self._reason, **measured
        )

    def _read(self, timeout_s: float) -> str:
        """The next line of its output; empty, with the reason noted, where it has ended or takes too long."""
        if self._child is None:
            return ""
        assert self._child.stdout is not None
        timer = threading.Timer(timeout_s, self._child.kill)
        timer.start()
        try:
            line = self._child.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            said = self._log.read_text(errors="replace").splitlines()[-1:] or ["it said nothing, or took too long"]
            self._reason = f"its runtime failed: {said[0]}"
        return line
