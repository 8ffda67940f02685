"""The process of one framework's training steps, as its parent sees it."""

from __future__ import annotations

import os
import subprocess
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from serveoff import process
from serveoff.contract import Framework
from serveoff.errors import ServeoffError
from serveoff.training import Device
from serveoff.workspace import Workspace

from .stepping import Prepare
from .train import ENVIRONMENT

_GOES_S = 2.0
"""From the end of its connection to its own."""


class LostError(ServeoffError):
    """A framework could not do what it was told to."""

    def __init__(self, framework: Framework, message: str) -> None:
        super().__init__(message)
        self.framework = framework


class StepProcess:
    """It is started when it is told something, and again after it was lost. `timeout_s` holds for each answer."""

    def __init__(self, framework: Framework, device: Device, threads: int, timeout_s: float, workspace: Workspace) -> None:
        self._framework, self._device, self._threads, self._timeout_s = framework, device, threads, timeout_s
        self._workspace = workspace
        self._log = workspace.training / f"throughput-{framework}.log"
        self._running: tuple[subprocess.Popen[bytes], Connection[Any, Any]] | None = None

    def __enter__(self) -> StepProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end(0)

    @property
    def pids(self) -> list[int]:
        """Its process, where one runs."""
        return [self._running[0].pid] if self._running else []

    def ask(self, message: Prepare | int) -> Any:
        """Its answer. Raises LostError when it has none."""
        self._running = self._running or self._start()
        _, connection = self._running
        try:
            connection.send(message)
            if not connection.poll(self._timeout_s):
                self._end(0)
                raise LostError(self._framework, f"took longer than {self._timeout_s:.0f} s")
            answer = connection.recv()
        except (EOFError, ConnectionError):
            raise LostError(self._framework, f"its process ended with exit code {self._end(_GOES_S)}; its log is {self._log}") from None
        if isinstance(answer, ServeoffError):
            raise LostError(self._framework, answer.message)
        return answer

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if self._device == "gpu" else "-1"
        extra = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": gpu, "OMP_NUM_THREADS": str(self._threads)}
        ours, theirs = Pipe()
        with theirs:
            arguments = ("--framework", self._framework, "--threads", str(self._threads), "--connection", str(theirs.fileno()))
            child = process.attached(
                process.python("models.stepping", *arguments),
                env=process.environment(self._workspace.root, extra),
                log=self._log,
                pass_fds=(theirs.fileno(),),
            )
        return child, ours

    def _end(self, grace_s: float) -> int | None:
        """End it, if it does not by itself within `grace_s`. Its exit code; None where none runs."""
        if self._running is None:
            return None
        child, connection = self._running
        self._running = None
        connection.close()
        try:
            return child.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.end_tree(child.pid, grace_s=0)
            return child.wait()
