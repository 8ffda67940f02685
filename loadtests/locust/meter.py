"""What the load process itself was doing inside the window: its CPU time second by second, and how late its event loop was."""

from __future__ import annotations

import time
from array import array

import gevent

from .. import threads
from . import clock
from .pacing import Alarm

_TICK_NS = 10_000_000
_SECOND_NS = 1_000_000_000


class Meter:
    """Runs from `start_ns` to `end_ns` (of the clock) beside the load."""

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.cpu = self.cpu_peak = 0.0
        self.waited: float | None = None
        self._lags = array("q")
        self._running = [gevent.spawn(self._tick, start_ns, end_ns), gevent.spawn(self._count, start_ns, end_ns)]

    def finish(self) -> None:
        gevent.joinall(self._running)

    @property
    def hub_lag_p99_us(self) -> float:
        ordered = sorted(self._lags)
        return ordered[int(0.99 * (len(ordered) - 1))] / 1000 if ordered else 0.0

    def _tick(self, start_ns: int, end_ns: int) -> None:
        """An open loop too: after a long pause every tick that was missed counts, each from when it was due."""
        alarm = Alarm()
        try:
            for due_ns in range(start_ns, end_ns, _TICK_NS):
                alarm.wait_until(due_ns)
                self._lags.append(clock.now_ns() - due_ns)
        finally:
            alarm.close()

    def _count(self, start_ns: int, end_ns: int) -> None:
        clock.sleep((start_ns - clock.now_ns()) / 1e9)
        first_cpu_s = cpu_s = time.process_time()
        first_ns = now_ns = clock.now_ns()
        before = threads.waited_s("self")
        while now_ns < end_ns:
            clock.sleep(min(_SECOND_NS, end_ns - now_ns) / 1e9)
            before_s, before_ns = cpu_s, now_ns
            cpu_s, now_ns = time.process_time(), clock.now_ns()
            if now_ns - before_ns > _SECOND_NS / 2 or first_ns == before_ns:  # a short rest at the end says little
                self.cpu_peak = max(self.cpu_peak, (cpu_s - before_s) / (now_ns - before_ns) * 1e9)
        self.cpu = (cpu_s - first_cpu_s) / (now_ns - first_ns) * 1e9
        after = threads.waited_s("self")
        if before is not None and after is not None:
            self.waited = sum(seconds - before.get(thread, 0.0) for thread, seconds in after.items()) / (now_ns - first_ns) * 1e9
