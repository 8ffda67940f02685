"""An artifact without any server: its runtime in a process of its own, which loads it once and is then asked to call it.

The floor that a load test measures, and the facts of an export. The process ends with its input, so also when we are killed.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path
from typing import TypeVar

import msgspec

from serveoff import host, process
from serveoff.contract import Calls, Struct
from serveoff.plugins import Artifact
from serveoff.registry import RUNTIMES

_LONGEST_S = 90.0
"""How long it may take to load, and to answer beyond the seconds that are asked for."""

T = TypeVar("T")


class Loaded(Struct, frozen=True, kw_only=True):
    """What the process says first: seconds until the model is there (its runtime's import counts), memory then, the first call."""

    load_s: float
    first_call_s: float
    resident_bytes: int


class InProcess:
    """One artifact in its process, from its start to its end. Nothing raises for what the artifact does: `reason` tells."""

    def __init__(self, artifact: Artifact, threads: int, owner: Path, log: Path) -> None:
        self._artifact, self._threads, self._owner, self._log = artifact, threads, owner, log
        self._child: subprocess.Popen[str] | None = None
        self.reason = ""

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and not self.reason else None

    def __enter__(self) -> InProcess:
        manifest, directory = self._artifact.manifest, self._artifact.version_dir
        runtime = next((name for name, runtime in RUNTIMES.all().items() if runtime.serve_file == manifest.serve_file), None)
        if runtime is None or not (directory / manifest.serve_file).exists():
            self.reason = f"there is no runtime for {manifest.serve_file} here, or the artifact is gone"
            return self
        if lacking := host.missing(RUNTIMES.load(runtime).requires):
            self.reason = f"its runtime cannot run here: {lacking}"
            return self
        what = (runtime, directory, self._artifact.reference_file, manifest.signature, self._threads, manifest.fixed_batch or 1)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                process.python("serveoff.in_process_worker", *map(str, what)),
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

    def loaded(self) -> Loaded | None:
        """Wait until the model is loaded and was called once. To be asked first, and once."""
        return self._read(Loaded, _LONGEST_S)

    def call(self, batch: int, seconds: float = 0.0, at_least: int = 1) -> Calls | None:
        """Call it for so long, and at least so often."""
        if self._child is None or self.reason:
            return None
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(f"{batch} {seconds} {at_least}\n")
            self._child.stdin.flush()
        return self._read(Calls, seconds + _LONGEST_S)

    def _read(self, kind: type[T], timeout_s: float) -> T | None:
        """The next line of its output; None, with the reason noted, where it has ended or takes too long."""
        if self._child is None or self.reason:
            return None
        assert self._child.stdout is not None
        timer = threading.Timer(timeout_s, self._child.kill)
        timer.start()
        try:
            line = self._child.stdout.readline()
        finally:
            timer.cancel()
        if line:
            return msgspec.json.decode(line, type=kind)
        said = self._log.read_text(errors="replace").splitlines()[-1:] or ["it said nothing, or took too long"]
        self.reason = f"its runtime failed: {said[0]}"
        return None
