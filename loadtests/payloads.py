"""The requests of a load, encoded before any clock starts, from the samples whose answers are known."""

from __future__ import annotations

from pathlib import Path

from serveoff import reference
from serveoff.contract import ParityCheck
from serveoff.launch import Endpoint
from serveoff.parity import compare
from serveoff.plugins import Artifact, WireProtocol
from serveoff.reference import Reference

from . import handover

COUNT = 64
"""Different payloads per load, so that a server's cache cannot answer (as many as there are samples, where there are fewer)."""
FILE = "payloads.msgpack"


def write(path: Path, artifact: Artifact, endpoint: Endpoint, wire: WireProtocol) -> handover.Payloads:
    """Encode one sample per request (or `fixed_batch`) with the protocol, and write them for the load processes."""
    known, rows = reference.load(artifact.reference_file), artifact.manifest.fixed_batch or 1
    bodies = []
    for number in range(_count(known, rows)):
        inputs, _ = known.slice(number * rows, (number + 1) * rows)
        bodies.append(wire.encode(artifact.manifest, endpoint, inputs))
    heads = tuple(dict(wire.headers(body)) for body in bodies)
    payloads = handover.Payloads(transport=wire.transport, path=wire.path(endpoint), headers={}, heads=heads, bodies=tuple(bodies))
    handover.pack(path, payloads)
    return payloads


def wrong_answers(artifact: Artifact, wire: WireProtocol, answers: handover.Answers) -> list[str]:
    """Why sampled answers are not the recorded ones, one sentence for each wrong one."""
    known, manifest = reference.load(artifact.reference_file), artifact.manifest
    rows = manifest.fixed_batch or 1
    wrong = []
    for answer in answers.answers:
        _, wanted = known.slice(answer.payload * rows, (answer.payload + 1) * rows)
        try:
            checks = compare(f"payload {answer.payload}", wanted, wire.decode(manifest, answer.reply), manifest.served_tolerance)
        except ValueError as error:
            wrong.append(f"payload {answer.payload}: {error}")
            continue
        wrong += [_sentence(failed) for failed in checks if not failed.passed][:1]
    return wrong


def _count(known: Reference, rows: int) -> int:
    return max(1, min(COUNT, known.rows // rows))


def _sentence(check: ParityCheck) -> str:
    return f"{check.case}, output {check.output}: {check.reason}"
