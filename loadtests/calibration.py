"""What a load process itself costs, and how much it can send: its own code, payloads and reply sizes, a server that answers at once.

Load workers are measured where they are: the null server then listens where they find the load's master.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import affinity, livecheck, process, storage
from serveoff.contract import Skip
from serveoff.errors import NotReadyError, ServeoffError
from serveoff.launch import Endpoint
from serveoff.results import Calibration, CellJob, ClientCost, LoadPlan, ProfileChoice

from . import handover, payloads, worker_cost
from .candidates import Candidate
from .distributed import address
from .turns import Turns

LARGEST_SHARE = 0.8
"""Beyond this share of what the client can send, its own queue is part of every latency."""
_WARM_UP_S = 0.05
_TIMEOUT_S = 60
_CALL_S = 30


@dataclass(frozen=True, slots=True)
class Subject:
    """One protocol: what is sent over it, and what comes back."""

    candidate: Candidate
    payloads: Path
    payload_bytes: int
    reply: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Whose processes these are, where their files go, and the cores of the server: those of every other (None: any)."""

    owner: Path
    directory: Path
    server_cores: tuple[int, ...] | None = None


class Calibrator:
    """What is known of the client: nothing where the plan does not ask for it, or where it could not be measured, as `skips` says."""

    def __init__(self, subjects: Sequence[Subject], plan: LoadPlan, place: Place) -> None:
        self._subjects, self._place = subjects, place
        self._plan = msgspec.structs.replace(plan, warmup_s=_WARM_UP_S, warmup_limit_s=_WARM_UP_S)
        self.results: tuple[Calibration, ...] = ()
        self.skips: tuple[Skip, ...] = ()

    def before(self) -> None:
        self.results = tuple(
            Calibration(protocol=s.candidate.endpoint.protocol, payload_bytes=s.payload_bytes, reply_bytes=len(s.reply), before=cost)
            for s, cost in zip(self._subjects, self._measured("before"), strict=False)
        )

    def after(self) -> None:
        costs = self._measured("after") if self.results else ()
        if costs:
            self.results = tuple(msgspec.structs.replace(one, after=cost) for one, cost in zip(self.results, costs, strict=True))

    def cost(self, protocol: str) -> ClientCost | None:
        return next((one.before for one in self.results if one.protocol == protocol), None)

    def _measured(self, when: str) -> tuple[ClientCost, ...]:
        try:
            return self._measure(self._place.directory / when) if self._subjects else ()
        except ServeoffError as error:
            if isinstance(error, NotReadyError) and not self.results:  # workers that did not come: the load would wait for them, too
                raise
            self.skips += (Skip(stage="loadtest", what=f"the client's own cost, {when} the load", reason=f"{error.message}; {error.hint}"),)
            return ()

    def _measure(self, place: Path) -> tuple[ClientCost, ...]:
        services = tuple(handover.NullService(transport=s.candidate.wire.transport, reply=s.reply) for s in self._subjects)
        job = place / "null.msgpack"
        here = address(self._plan.master)[0] if self._plan.workers else "127.0.0.1"
        handover.pack(job, handover.NullJob(services=services, host=here))
        env = process.environment(self._place.owner)
        with null_server(job, env, place / "null.log", self._place.server_cores) as ports:
            jobs = tuple(self._job(each, port) for each, port in zip(self._subjects, ports, strict=True))
            if self._plan.workers:
                return tuple(worker_cost.cost(each, place / each.protocol, self._place.owner) for each in jobs)
            return self._here(jobs, place, env)

    def _here(self, jobs: tuple[CellJob, ...], place: Path, env: Mapping[str, str]) -> tuple[ClientCost, ...]:
        storage.write(place / "jobs.json", handover.Calibrations(jobs=jobs))
        ended = process.run_child(
            process.python("loadtests.locust.calibrate", str(place / "jobs.json"), str(place / "costs.json")),
            env=env,
            log=place / "calibrate.log",
            timeout_s=_TIMEOUT_S,
        )
        if not ended.ok:
            raise ServeoffError(f"the client on the null server: {ended.tail.strip()[-300:]}", hint=f"its log is {place / 'calibrate.log'}")
        return storage.read(place / "costs.json", handover.Costs).costs

    def _job(self, subject: Subject, port: int) -> CellJob:
        protocol = subject.candidate.endpoint.protocol
        host = handover.MASTERS_HOST if self._plan.workers else "127.0.0.1"
        null = Endpoint(protocol=protocol, host=host, port=port, model_name=subject.candidate.endpoint.model_name)
        target = msgspec.structs.replace(subject.candidate.target, endpoints=(null,), metrics=None)
        return CellJob(
            target=target, protocol=protocol, profile=ProfileChoice(name="closed"), plan=self._plan, payloads=str(subject.payloads)
        )


@contextmanager
def null_server(job: Path, env: Mapping[str, str], log: Path, cores: tuple[int, ...] | None = None) -> Iterator[list[int]]:
    """A null server for this job, in a process of its own, on these cores; its ports. Raises ServeoffError when it does not start."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            process.python("loadtests.null_server", str(job)),
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
    try:
        if cores is not None:
            affinity.pin(server.pid, cores)
        assert server.stdout is not None
        ports = [int(port) for port in server.stdout.readline().split()]
        if not ports:
            raise ServeoffError("the null server did not start", hint=f"its log is {log}")
        yield ports
    finally:
        server.kill()
        server.communicate()


def begin(chosen: Sequence[Candidate], plan: LoadPlan, turns: Turns, place: Place) -> Calibrator:
    """Measure the client on each protocol, where the plan asks for it; a target of each is woken for one reply."""
    found: dict[str, Subject] = {}
    for candidate in chosen if plan.calibrate else ():
        protocol = candidate.endpoint.protocol
        if protocol in found:
            continue
        turns.give(candidate.target)
        file = place.directory / f"{protocol}.msgpack"
        sent = payloads.write(file, candidate.artifact, candidate.endpoint, candidate.wire)
        with suppress(NotReadyError):  # its cells will say so
            reply = livecheck.call(candidate.wire, candidate.endpoint, sent.bodies[0], _CALL_S)
            found[protocol] = Subject(candidate, file, len(sent.bodies[0]), reply)
    turns.rest()
    calibrator = Calibrator(tuple(found.values()), plan, place)
    calibrator.before()
    return calibrator


def too_fast(offered_rps: float | None, processes: int, cost: ClientCost | None) -> list[str]:
    """Why a row at this rate says more of the client than of the target: void, but no fault of the target's."""
    if offered_rps is None or cost is None or offered_rps <= LARGEST_SHARE * (reachable := cost.reachable_rps * processes):
        return []
    return [
        f"{offered_rps:,.0f} requests/s is {offered_rps / reachable:.0%} of what the client can send ({reachable:,.0f}/s): beyond "
        f"{LARGEST_SHARE:.0%} it is the client that is measured"
    ]
