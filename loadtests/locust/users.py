"""The Locust user: one connection that follows the session's clock. All users of a process share one session."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import ClassVar

import gevent
from gevent.event import Event
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from serveoff.registry import PROTOCOLS
from serveoff.results import CellJob, ErrorClass

from .. import meanings
from ..handover import Payloads
from ..profiles import Load
from . import clock, live_stats
from .calls import CallError, Client, client_for
from .meter import Meter
from .pacing import Alarm, Schedule
from .recorder import AnswerSample, Recorder
from .warmup import warm_up

TAIL_NS = 200_000_000
"""The load goes on this long after the window, so that its last requests see the same load as the others, and are sent. It is cut off."""
_FOREVER_NS = 1 << 62
_UNREACHABLE = ("refused", "connection lost")
_RETRY_S = 0.05
_SAMPLE_SIZE = 32


class Session:
    """One load on one endpoint. Times are the clock's nanoseconds; they are set when the load and when its window begins.

    `agree` is called when this process is warm, and returns when the window opens: now, or when the others that share the load are warm.
    """

    def __init__(self, job: CellJob, payloads: Payloads, load: Load, recorder: Recorder, agree: Callable[[], int] | None = None) -> None:
        self.endpoint = next(e for e in job.target.endpoints if e.protocol == job.protocol)
        self.payloads, self.load, self.recorder = payloads, load, recorder
        self._wire = PROTOCOLS.load(job.protocol)
        self.timeout_s = job.plan.timeout_s
        self.name = f"{job.target.id} {job.protocol}"
        self.sample = AnswerSample(_SAMPLE_SIZE, job.plan.seed)
        self.finished = Event()
        self.unsent = 0
        self.meter: Meter | None = None
        self.warmed_up = False
        self.start_ns = 0
        self.window_start_ns = self.window_end_ns = self.stop_ns = _FOREVER_NS
        self._aside = live_stats.aside()
        self.joined = 0
        self.connections = 0
        self._plan, self._share, self._shares, self._agree = job.plan, job.share, job.shares, agree or clock.now_ns
        self._clients: list[Client] = []
        self._opened_ns: list[array[int] | None] = []
        self._users = count(job.share, job.shares)
        self._numbers = count(job.share, job.shares)
        self._alarms: list[Alarm] = []
        self._active = 0
        self._begun = Event()
        self._schedule: Schedule | None = None
        self._watchdog = gevent.spawn(self._watch)

    def begin(self, *, endless: bool = False) -> None:
        """Start the clock: warm-up, window, tail; or a load without an end, which is not measured."""
        self.start_ns = clock.now_ns()
        self._follow(f"warm-up {self._plan.seed}", self.start_ns)
        if endless:
            self.window_start_ns = 0  # Locust counts all of it
        else:
            gevent.spawn(self._conduct)
        self._begun.set()

    def join(self) -> tuple[int, Client]:
        """A user's number and its connection. Connecting and the first request come before the clock starts: they are slow."""
        number, client = next(self._users), client_for(self.endpoint, self.payloads, self.timeout_s, self._plan.client)
        self._clients.append(client)
        self._opened_ns.append(client.opened_ns)
        self._active += 1
        with suppress(CallError):  # when it lasts, the requests that count will say so
            client.call(number % len(self.payloads.bodies))
        self.joined += 1
        return number, client

    def leave(self, client: Client) -> None:
        client.close()
        self._clients.remove(client)
        self._active -= 1
        if self._active == 0:
            self.finished.set()

    def opened_in_window(self) -> int | None:
        """How many connections were opened then, by users who had lost theirs; None where the client does not tell."""
        moments = [each for each in self._opened_ns if each is not None]
        if len(moments) < len(self._opened_ns):
            return None
        return sum(self.window_start_ns <= moment < self.window_end_ns for each in moments for moment in each)

    def close(self) -> None:
        self._watchdog.kill(block=False)

    def drive(self, environment: Environment, user: int, client: Client) -> None:
        """Send requests until the load ends."""
        self._begun.wait()
        if self._schedule is not None:
            self._drive_open(self._schedule, environment, user, client)
            return
        while clock.now_ns() < self.stop_ns:
            if self._request(environment, user, client, next(self._numbers), None) in _UNREACHABLE:
                gevent.sleep(_RETRY_S)  # nobody is there: asking without a pause would only burn the processor

    def _drive_open(self, schedule: Schedule, environment: Environment, user: int, client: Client) -> None:
        alarm = Alarm()
        self._alarms.append(alarm)
        try:
            while True:
                schedule = self._schedule or schedule
                number, due_ns = schedule.take()
                if due_ns >= self.stop_ns:
                    return
                if clock.now_ns() >= self.stop_ns:
                    self.unsent += self.window_start_ns <= due_ns < self.window_end_ns
                    continue
                alarm.wait_until(due_ns)
                if schedule is self._schedule:  # else the warm-up has ended meanwhile, and its arrivals with it
                    self._request(environment, user, client, number, due_ns)
        finally:
            self._alarms.remove(alarm)
            alarm.close()

    def _request(self, environment: Environment, user: int, client: Client, number: int, due_ns: int | None) -> ErrorClass | None:
        payload = number % len(self.payloads.bodies)
        meaning, reply, outcome = None, b"", 0
        try:
            reply = client.call(payload)
            done_ns = client.received_ns
        except CallError as error:  # kept in no other local: its traceback holds this frame, and the collector rests
            done_ns = clock.now_ns()
            meaning = meanings.of(self._wire, error.kind, error.text)
            outcome = self.recorder.outcome_of(meaning, error)
        sent_ns = client.sent_ns
        if meaning is None:
            self.sample.offer(payload, reply)
        due_ns = sent_ns if due_ns is None else due_ns
        self.recorder.add(due_ns, sent_ns, done_ns, outcome, user, len(reply))
        counts = self.window_start_ns <= due_ns < self.window_end_ns
        (environment.events.request if counts else self._aside).fire(  # type: ignore[no-untyped-call]
            request_type=self.payloads.transport,
            name=self.name,
            response_time=(done_ns - due_ns) / 1e6,
            response_length=len(reply),
            exception=None if meaning is None else self.recorder.first_errors[meaning],  # one text per class: Locust counts by text
            context={},
        )
        return meaning

    def _watch(self) -> None:
        while True:
            gevent.sleep(min(0.1, self.timeout_s / 10))
            now_ns = clock.now_ns()
            for client in self._clients:
                client.expire(now_ns)

    def _follow(self, seed: int | str, start_ns: int) -> None:
        """Let the connections follow the arrivals from their beginning."""
        if self.load.arrivals is not None:
            self._schedule = Schedule(self.load.arrivals, seed, start_ns, self._share, self._shares)
            for alarm in self._alarms:
                alarm.ring()

    def _conduct(self) -> None:
        """Warm-up and window. The collector rests meanwhile: its pauses would count as latency."""
        gc.collect()
        gc.freeze()
        gc.disable()
        plan, open_loop = self._plan, self.load.arrivals is not None
        self.warmed_up = warm_up(self.recorder, plan.warmup_s, plan.warmup_limit_s, open_loop=open_loop)
        start_ns = self._agree()
        self.window_start_ns = start_ns  # before it comes: no request of it may have ended by then
        self.window_end_ns = start_ns + int(self.load.duration_s * 1e9)
        self.stop_ns = self.window_end_ns + TAIL_NS
        clock.sleep((start_ns - clock.now_ns()) / 1e9)
        self._follow(plan.seed, start_ns)  # every target gets the same arrivals in its window, however long it took to warm up
        self.connections = sum(client.connected for client in self._clients)
        self.meter = Meter(start_ns, self.window_end_ns)
        self.meter.finish()
        gc.enable()


class LoadUser(User):
    """One connection. `session` is set before users are spawned."""

    abstract = True
    session: ClassVar[Session]
    wait_for: ClassVar[int] = 0
    """The clock starts when this many users have joined; 0: somebody else starts it."""

    def on_start(self) -> None:
        self._session = self.session
        self._number, self._client = self._session.join()
        if self._session.joined == self.wait_for:
            self._session.begin()

    @task
    def load(self) -> None:
        self._session.drive(self.environment, self._number, self._client)
        raise StopUser

    def on_stop(self) -> None:
        self._session.leave(self._client)
