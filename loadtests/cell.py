"""One cell of the report: a profile on one protocol of one target, loaded by one Locust process."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import process, storage
from serveoff.contract import Cell, CellJob, LoadPlan, Measurement, Parity, ProfileChoice
from serveoff.process import ChildResult

from . import candidates, child, handover, measure, payloads, validity
from .candidates import Candidate
from .profiles import resolve

_START_AND_STOP_S = 60
"""What a Locust process may take beside its load, on a very busy machine."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A candidate that answered correctly: its payloads are written, below `directory` one folder follows for each profile."""

    candidate: Candidate
    live_check: Parity
    directory: Path
    payloads: handover.Payloads


def load(subject: Subject, number: int, plan: LoadPlan, owner: Path, run_dir: Path) -> Cell:
    """Run the plan's profile of this number. Never raises for what a target does: a target that dies is a result."""
    profile = plan.profiles[number]
    directory = subject.directory / f"{number + 1}-{profile.name}"
    directory.mkdir(parents=True)
    job = CellJob(
        target=subject.candidate.target,
        protocol=subject.candidate.endpoint.protocol,
        profile=profile,
        plan=plan,
        payloads=f"../{payloads.FILE}",
    )
    storage.write(directory / handover.JOB, job)
    ended = _run(directory, profile, plan, owner)
    measurement: Measurement | None = None
    reasons: list[str] = []
    reply_bytes = 0
    if (directory / handover.FACTS).exists():
        measurement, wrong, reply_bytes = _read(subject, directory, run_dir)
        reasons = validity.reasons(measurement, wrong)
    else:
        last = ended.tail.splitlines()[-1:] or ["it said nothing"]
        how = "took too long and was ended" if ended.timed_out else f"ended with exit code {ended.exit_code}"
        reasons.append(f"the load process {how}: {last[0]} (its log is {directory.relative_to(run_dir) / 'locust.log'})")
    died = candidates.exit_reason(subject.candidate.target)
    if died is not None:
        reasons.insert(0, f"the target died under load: {died}")
    return cell(subject.candidate, profile, subject.live_check, reasons, measurement, subject.payloads, reply_bytes)


def cell(
    candidate: Candidate,
    profile: ProfileChoice,
    live_check: Parity,
    reasons: Sequence[str],
    measurement: Measurement | None = None,
    sent: handover.Payloads | None = None,
    reply_bytes: int = 0,
) -> Cell:
    """The row, VALID when there is no reason against it."""
    return Cell(
        target=candidate.target,
        manifest=candidate.artifact.manifest,
        protocol=candidate.endpoint.protocol,
        encoding=candidate.wire.encoding,
        profile=profile,
        payload_bytes=round(statistics.median(map(len, sent.bodies))) if sent else 0,
        reply_bytes=reply_bytes,
        live_check=live_check,
        measurement=measurement,
        verdict="INVALID" if reasons else "VALID",
        reasons=tuple(reasons),
    )


def _run(directory: Path, profile: ProfileChoice, plan: LoadPlan, owner: Path) -> ChildResult:
    load = resolve(profile)
    users = str(load.connections)
    return process.run_child(
        child.command("locustfile.py", "--headless", "--only-summary", "--users", users, "--spawn-rate", users),
        env=child.environment(owner, directory / handover.JOB),
        log=directory / "locust.log",
        timeout_s=plan.warmup_s + load.duration_s + 2 * plan.timeout_s + _START_AND_STOP_S,
        cwd=directory,
    )


def _read(subject: Subject, directory: Path, run_dir: Path) -> tuple[Measurement, list[str], int]:
    """The measurement, the wrong answers in words, and the median size of a good reply's body."""
    facts = storage.read(directory / handover.FACTS, handover.Facts)
    raw = measure.records(handover.unpack(directory / handover.RECORDS, handover.Columns))
    measure.save(directory / "records.npz", raw, facts)
    (directory / handover.RECORDS).unlink()  # the same numbers, compressed, lie in the .npz now
    result = measure.measure(raw, facts, str((directory / "records.npz").relative_to(run_dir)))
    answers = handover.unpack(directory / handover.ANSWERS, handover.Answers)
    wrong = payloads.wrong_answers(subject.candidate.artifact, subject.candidate.wire, answers)
    if wrong:
        result = msgspec.structs.replace(
            result,
            errors=result.errors | {validity.WRONG_ANSWER: len(wrong)},
            error_texts=result.error_texts | {validity.WRONG_ANSWER: wrong[0]},
        )
    good = raw.reply_bytes[raw.outcome == 0].tolist()
    return result, wrong, round(statistics.median(good)) if good else 0
