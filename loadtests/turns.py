"""One target is awake at a time: an idle server still polls, collects garbage and keeps caches warm at the cost of the others.

Whatever happens, all are awake again afterwards: at the end, at Ctrl-C, and when our process is killed (the waker sees to that).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from serveoff import process
from serveoff.console import Console
from serveoff.errors import ServeoffError
from serveoff.launch import Target
from serveoff.registry import LAUNCHERS

_WAKER_S = 30
_AWAKE_WITHIN_S, _LOOK_AGAIN_S = 5, 0.02


class Turns:
    """Holds all targets paused but the one whose turn it is. A target that cannot be paused is told of once, and stays awake.

    At its end all are awake again, and that is checked.
    """

    def __init__(self, targets: Sequence[Target], owner: Path, console: Console) -> None:
        self._targets = {target.id: target for target in targets}
        self._owner, self._console = owner, console
        self._awake, self._restless = set(self._targets), set[str]()
        self._waker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Turns:
        for target in self._targets.values():
            LAUNCHERS.load(target.launcher).resume(target)  # a load test that was killed with its waker left it paused
        self._waker = _start_waker(self._owner)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            for target in self._targets.values():
                LAUNCHERS.load(target.launcher).resume(target)
            self._check_awake()
        finally:
            if self._waker is not None:
                assert self._waker.stdin is not None
                self._waker.stdin.close()
                self._waker.wait(_WAKER_S)

    def _check_awake(self) -> None:
        """Raises ServeoffError for a target that is still paused."""
        deadline = time.monotonic() + _AWAKE_WITHIN_S
        for target in self._targets.values():
            launcher = LAUNCHERS.load(target.launcher)
            while launcher.asleep(target):
                if time.monotonic() > deadline:
                    raise ServeoffError(f"{target.id} is still paused after the load test", hint="`serveoff stop`, then `serveoff serve`")
                time.sleep(_LOOK_AGAIN_S)
                launcher.resume(target)

    def give(self, target: Target) -> None:
        """Wake this target; the others sleep."""
        LAUNCHERS.load(target.launcher).resume(target)
        self._hush(self._awake - {target.id})
        self._awake = {target.id}

    def rest(self) -> None:
        """All sleep."""
        self._hush(self._awake)
        self._awake = set()

    def _hush(self, names: set[str]) -> None:
        for name in names - self._restless:
            other = self._targets[name]
            try:
                LAUNCHERS.load(other.launcher).pause(other)
            except ServeoffError as error:
                self._console.say(f"{error.message}: it stays awake while the others are measured")
                self._restless.add(name)


def _start_waker(owner: Path) -> subprocess.Popen[bytes]:
    """It waits for the end of its input, which comes when we end, however that happens. Ctrl-C on our terminal does not reach it."""
    return subprocess.Popen(
        process.python("loadtests.waker", str(owner)),
        env=process.environment(owner),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
