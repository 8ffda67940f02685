"""One cell of the report: a profile on one protocol of one target, in one round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import storage
from serveoff.contract import Cell, CellJob, LoadPlan, Measurement, Parity, ProfileChoice

from . import candidates, crew, handover, measure, merge, payloads, steadiness, validity, watch
from .candidates import Candidate
from .profiles import resolve
from .rounds import Outcome, Step


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate that answered correctly: its payloads are written, below `directory` one folder follows for each cell."""

    candidate: Candidate
    live_check: Parity
    directory: Path
    payloads: handover.Payloads


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one load showed. `faults` are the target's, `disturbances` came from around it; neither: the measurement is VALID."""

    measurement: Measurement | None
    faults: tuple[str, ...]
    disturbances: tuple[str, ...]
    reply_bytes: int = 0
    died: bool = False

    @property
    def repeat(self) -> bool:
        """Whether another attempt may do better: not where the target died or answered wrongly."""
        wrong = any(reason.startswith(validity.WRONG_ANSWER) for reason in self.faults)
        return bool(self.disturbances) and not self.died and not wrong


def load(subject: Subject, step: Step, plan: LoadPlan, owner: Path) -> Outcome:
    """Run the step's profile. Never raises for what a target does: a target that dies is a result."""
    profile = plan.profiles[step.number]
    name = f"{step.number + 1}-{profile.name}" + (f".round{step.round}" if plan.rounds > 1 else "")
    directory = subject.directory / (name + (f".attempt{step.attempt}" if step.attempt > 1 else ""))
    found = probe(subject, profile, plan, owner, directory)
    reasons = [*found.faults, *found.disturbances]
    done = cell(step, plan, subject.live_check, reasons, found.measurement, subject.payloads, found.reply_bytes)
    return Outcome(done, found.repeat)


def probe(subject: Subject, profile: ProfileChoice, plan: LoadPlan, owner: Path, directory: Path) -> Loaded:
    """Load the subject once with a profile, in a directory of its own two levels below the run's `cells`."""
    directory.mkdir(parents=True)
    target, run_dir = subject.candidate.target, directory.parents[2]
    job = CellJob(target=target, protocol=subject.candidate.endpoint.protocol, profile=profile, plan=plan, payloads=f"../{payloads.FILE}")
    with watch.Watch(target) as watched:
        members = crew.run(job, directory, owner)
    died = candidates.exit_reason(target)
    lost = [] if died is not None and not any(m.finished for m in members) else [m.lost(run_dir) for m in members if not m.finished]
    faults = [] if died is None else [f"the target died under load: {died}"]
    left = [_parts(m.directory) for m in members if m.finished]
    if not left:
        return Loaded(None, tuple(faults), tuple(lost), died=died is not None)
    raw, facts = merge.merge([(raw, facts) for raw, facts, _ in left])
    measure.save(directory / "records.npz", raw, facts)
    for member in members:
        (member.directory / handover.RECORDS).unlink(missing_ok=True)  # the same numbers, compressed, lie in the .npz now
    answers = handover.Answers(answers=tuple(answer for *_, part in left for answer in part.answers))
    wrong = payloads.wrong_answers(subject.candidate.artifact, subject.candidate.wire, answers)
    result = _with_wrong(measure.measure(raw, facts, str((directory / "records.npz").relative_to(run_dir))), wrong)
    around = watch.surroundings([facts for _, facts, _ in left], watched.samples)
    result = msgspec.structs.replace(result, surroundings=around, load_processes=len(members))
    faults += validity.reasons(result, wrong)
    disturbances = [*lost, *validity.disturbances(result, _median_ms(result), validity.STRICT if plan.strict else validity.USUAL)]
    drift = steadiness.drift(raw, facts) if resolve(profile).steady and died is None else None
    good = raw.reply_bytes[raw.outcome == 0].tolist()
    return Loaded(
        result,
        tuple(faults),
        (*disturbances, *([drift] if drift else [])),
        round(statistics.median(good)) if good else 0,
        died is not None,
    )


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
    )


def _parts(directory: Path) -> tuple[measure.Records, handover.Facts, handover.Answers]:
    """What one load process left."""
    facts = storage.read(directory / handover.FACTS, handover.Facts)
    raw = measure.records(handover.unpack(directory / handover.RECORDS, handover.Columns))
    return raw, facts, handover.unpack(directory / handover.ANSWERS, handover.Answers)


def _with_wrong(result: Measurement, wrong: Sequence[str]) -> Measurement:
    """Wrong answers are an error class of their own."""
    if not wrong:
        return result
    return msgspec.structs.replace(
        result,
        errors=result.errors | {validity.WRONG_ANSWER: len(wrong)},
        error_texts=result.error_texts | {validity.WRONG_ANSWER: wrong[0]},
    )


def _median_ms(result: Measurement) -> float:
    return measure.percentiles_us(result.latency_hdr, (50,)).get(50, 0.0) / 1000  # none where nothing succeeded
