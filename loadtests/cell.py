"""One cell of the report: a profile on one protocol of one target, in one round."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from serveoff import storage
from serveoff.contract import Parity
from serveoff.launch import Target
from serveoff.results import WRONG_ANSWER, Cell, CellJob, ClientCost, LoadPlan, Measurement, ProfileChoice

from . import calibration, candidates, crew, handover, measure, merge, payloads, relay, server_side, sleepers, steadiness, validity, watch
from .candidates import Candidate
from .member import Member
from .profiles import resolve, searching
from .rounds import Step
from .search import Seen, search


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate that answered correctly: its payloads are written, below `directory` one folder follows for each cell."""

    candidate: Candidate
    live_check: Parity
    directory: Path
    payloads: handover.Payloads
    client: ClientCost | None = None
    """What the client costs on this protocol, where that was measured."""


def load(subject: Subject, step: Step, plan: LoadPlan, owner: Path) -> Cell:
    """Run the step's profile. Never raises for what a target does: a target that dies is a result."""
    profile, name = plan.profiles[step.number], _name(step, plan)
    chooser = searching(profile)
    if chooser is None:
        return _finished(subject, step, plan, probe(subject, profile, plan, owner, name, steady=resolve(profile).steady))

    def measured(choice: ProfileChoice, what: str) -> Seen:  # a server that is asked too much slows down: that is no disturbance
        return probe(subject, choice, plan, owner, f"{name}.{what}", steady=False)

    found = search(chooser, profile, measured)
    seen = found.seen
    done = cell(step, plan, subject.live_check, seen.reasons, seen.measurement, subject.payloads, seen.reply_bytes)
    return msgspec.structs.replace(done, probes=found.probes, capacity_rps=found.capacity_rps)


def probe(subject: Subject, profile: ProfileChoice, plan: LoadPlan, owner: Path, name: str, *, steady: bool) -> Seen:
    """Load the subject once with a profile, in a directory of this name. `steady`: whether the figures must stay the same."""
    job, directory = _begin(subject, profile, plan, name)
    with watch.Watch(job.target) as watched, sleepers.Sleepers([job.target], owner) as others:
        members = crew.run(job, directory, owner)
    return _seen(subject, job, directory, _Watched(members, watched, others), steady=steady)


def load_by_turns(
    steps: Sequence[Step], ready: Callable[[Step], Subject | Cell], plan: LoadPlan, owner: Path, tell: Callable[[str], None]
) -> list[Cell]:
    """Run steps of one profile, each of another target, by turns. `ready` wakes its target, the others asleep, and sees to its answers."""
    begun: list[Cell | tuple[Subject, Step, relay.Leg]] = []
    targets = [step.candidate.target for step in steps]
    seed = plan.seed + steps[0].round
    with sleepers.Sleepers(targets, owner) as others, relay.Relay(len(steps), plan.turn_s, seed, owner) as running:
        for step in steps:
            tell(f"{len(steps)} rows by turns; {step.candidate.name} warms up")
            subject = ready(step)
            if isinstance(subject, Cell):
                begun.append(subject)
                continue
            job, directory = _begin(subject, plan.profiles[step.number], plan, _name(step, plan))
            begun.append((subject, step, running.add(job, directory)))
        tell(f"{len(running.legs)} rows by turns")
        running.run()

    def finished(subject: Subject, step: Step, leg: relay.Leg) -> Cell:
        seen = _seen(subject, leg.job, leg.directory, _Watched([leg.member], leg.sampler, others), steady=resolve(leg.job.profile).steady)
        if seen.measurement is not None:
            turn_s = running.turn_s if len(running.legs) > 1 else 0.0
            seen = replace(seen, measurement=msgspec.structs.replace(seen.measurement, turn_s=turn_s))
        return _finished(subject, step, plan, seen)

    return [each if isinstance(each, Cell) else finished(*each) for each in begun]


@dataclass(frozen=True, slots=True)
class _Watched:
    """A load that is over: its processes, and what was seen around it."""

    members: Sequence[Member]
    sampler: watch.Sampler
    others: sleepers.Sleepers


def _name(step: Step, plan: LoadPlan) -> str:
    name = f"{step.number + 1}-{plan.profiles[step.number].name}" + (f".round{step.round}" if plan.rounds > 1 else "")
    return name + (f".attempt{step.attempt}" if step.attempt > 1 else "")


def _begin(subject: Subject, profile: ProfileChoice, plan: LoadPlan, name: str) -> tuple[CellJob, Path]:
    directory = subject.directory / name
    shutil.rmtree(directory, ignore_errors=True)  # what an interrupted attempt left
    directory.mkdir(parents=True)
    target = subject.candidate.target
    server_side.save(target, directory / server_side.BEFORE)  # asked here so that the question is nothing new to the server later
    protocol = subject.candidate.endpoint.protocol
    return CellJob(target=target, protocol=protocol, profile=profile, plan=plan, payloads=f"../{payloads.FILE}"), directory


def _finished(subject: Subject, step: Step, plan: LoadPlan, seen: Seen) -> Cell:
    done = cell(step, plan, subject.live_check, seen.reasons, seen.measurement, subject.payloads, seen.reply_bytes)
    return msgspec.structs.replace(done, repeatable=seen.repeat)


def _seen(subject: Subject, job: CellJob, directory: Path, watched: _Watched, *, steady: bool) -> Seen:
    target, plan, members, run_dir = job.target, job.plan, watched.members, subject.directory.parents[1]
    died = candidates.exit_reason(target)
    faults = [] if died is None else [f"the target died under load: {died}"]
    disturbances = [f"{m.lost} (its log: {(directory / 'locust.log').relative_to(run_dir)})" for m in members if not m.finished]
    left = [_left_by(m, directory) for m in members if m.finished]
    if not left:
        return Seen(None, tuple(faults), tuple(disturbances), fatal=died is not None)
    raw, facts = merge.merge([(one.records, one.facts) for one in left])
    measure.save(directory / "records.npz", raw, facts)
    for member in members:
        (member.directory / handover.RECORDS).unlink(missing_ok=True)  # the same numbers, compressed, lie in the .npz now
    answers = handover.Answers(answers=tuple(answer for one in left for answer in one.answers.answers))
    wrong = payloads.wrong_answers(subject.candidate.artifact, subject.candidate.wire, answers)
    result = _with_wrong(measure.measure(raw, facts, str((directory / "records.npz").relative_to(run_dir))), wrong)
    around = watch.surroundings([one.taken_here for one in left], watched.sampler.samples, watched.sampler.cores)
    around = msgspec.structs.replace(around, others_awake=watched.others.used)
    result = msgspec.structs.replace(result, surroundings=around, load_processes=len(members), sampled=len(answers.answers))
    hosts = tuple(member.host for member in members if member.host)
    result = msgspec.structs.replace(result, windows_within_us=members[0].opened_within_us, worker_hosts=hosts)
    pages, lost = (directory, "") if plan.workers else (members[0].directory, members[0].lost)
    result = _with_server_side(result, target, job.protocol, pages, lost)
    faults += validity.reasons(result, wrong)
    too_fast = tuple(calibration.too_fast(result.offered_rps, result.load_processes, subject.client))
    disturbances += validity.disturbances(result, _median_ms(result), validity.STRICT if plan.strict else validity.USUAL)
    drift = steadiness.drift(raw, facts) if steady and died is None else None
    disturbances += [drift] if drift else []
    good = raw.reply_bytes[raw.outcome == 0].tolist()
    size = round(statistics.median(good)) if good else 0
    return Seen(result, tuple(faults), tuple(disturbances), size, fatal=died is not None or bool(wrong), too_fast=too_fast)


def cell(
    step: Step,
    plan: LoadPlan,
    live_check: Parity,
    reasons: Sequence[str],
    measurement: Measurement | None = None,
    sent: handover.Payloads | None = None,
    reply_bytes: int = 0,
) -> Cell:
    """The row, VALID when there is no reason against it."""
    candidate = step.candidate
    return Cell(
        target=candidate.target,
        manifest=candidate.artifact.manifest,
        protocol=candidate.endpoint.protocol,
        encoding=candidate.wire.encoding,
        profile=plan.profiles[step.number],
        payload_bytes=round(statistics.median(map(len, sent.bodies))) if sent else 0,
        reply_bytes=reply_bytes,
        live_check=live_check,
        measurement=measurement,
        verdict="INVALID" if reasons else "VALID",
        reasons=tuple(reasons),
        round=step.round,
        attempt=step.attempt,
        client=plan.client if candidate.wire.transport == "http" else "raw",
    )


@dataclass(frozen=True, slots=True)
class _Left:
    """What one load process left."""

    directory: Path
    records: measure.Records
    facts: handover.Facts
    answers: handover.Answers
    here: bool

    @property
    def taken_here(self) -> handover.Facts:
        """Its facts, with the CPU time that it took from this host."""
        return self.facts if self.here else msgspec.structs.replace(self.facts, cpu=0.0, waited=0.0, cores=())


def _left_by(member: Member, directory: Path) -> _Left:
    """On our own clock, where the windows of all were opened by one signal."""
    part = (
        measure.records(handover.unpack(member.directory / handover.RECORDS, handover.Columns)),
        storage.read(member.directory / handover.FACTS, handover.Facts),
    )
    window = directory / handover.WINDOW
    records, facts = merge.rebased(part, int(window.read_text())) if window.exists() else part
    return _Left(member.directory, records, facts, handover.unpack(member.directory / handover.ANSWERS, handover.Answers), member.here)


def _with_wrong(result: Measurement, wrong: Sequence[str]) -> Measurement:
    """Wrong answers are an error class of their own."""
    if not wrong:
        return result
    return msgspec.structs.replace(
        result,
        errors=result.errors | {WRONG_ANSWER: len(wrong)},
        error_texts=result.error_texts | {WRONG_ANSWER: wrong[0]},
    )


def _with_server_side(result: Measurement, target: Target, protocol: str, directory: Path, lost: str) -> Measurement:
    try:
        return msgspec.structs.replace(result, server=server_side.between(target, protocol, directory, lost))
    except server_side.SilentError as reason:
        return msgspec.structs.replace(result, server_silent=str(reason))


def _median_ms(result: Measurement) -> float:
    return measure.percentiles_us(result.latency_hdr, (50,)).get(50, 0.0) / 1000  # none where nothing succeeded
