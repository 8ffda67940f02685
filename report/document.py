"""The whole report before it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from serveoff.results import RunResult

from . import background, facts, means, proofs, split, training, weights, wording
from .headline import Claim, caveats, claims
from .measured import conditions, measured
from .rows import Group, groups
from .table import Table


@dataclass(frozen=True, slots=True)
class Section:
    """A group of rows with the table that shows it."""

    group: Group
    table: Table


@dataclass(frozen=True, slots=True)
class Document:
    """`facts` is the line under the title."""

    title: str
    facts: str
    claims: tuple[Claim, ...]
    caveats: tuple[str, ...]
    sections: tuple[Section, ...]
    skipped: Table
    training: tuple[Table, ...]
    background: tuple[Table, ...]


def document(result: RunResult) -> Document:
    """Everything the report says about `result`. Raises InputError for a histogram that cannot be read."""
    found = groups(result)
    rows = [row for group in found for row in group.rows]
    valid = sum(1 for row in rows if row.verdict == "VALID")
    exported = background.manifests(result)
    return Document(
        title="In which format, on which server?",
        facts=", ".join(
            [
                f"run {wording.clean(result.run_id)}",
                wording.clean(result.created_at),
                f"{len(rows)} rows, {valid} of them VALID",
                *([f"{result.plan.rounds} rounds"] if result.plan.rounds > 1 else []),
                f"{len(result.skips)} skipped",
                wording.clean(result.host.cpu_model),
                f"{result.host.logical_cores} logical cores",
                f"serveoff {wording.clean(result.serveoff_version)}",
            ]
        ),
        claims=tuple(claims(found)),
        caveats=(*_unfinished(result), *caveats(found)),
        sections=tuple(Section(group, measured(group)) for group in found),
        skipped=background.skipped(result.skips),
        training=training.tables(weights.training(result), result.throughput),
        background=(
            background.exports(exported),
            background.twins(result),
            conditions(found),
            split.where(found, result.floors),
            facts.facts(exported),
            means.used(found),
            background.load(result),
            background.client(result),
            background.witness(result),
            background.host(result),
            proofs.proofs({m.id: m.parity for m in exported}),
        ),
    )


def _unfinished(result: RunResult) -> list[str]:
    if result.finished:
        return []
    there = sum(cell.attempt == 1 for cell in result.cells)
    planned = "" if result.planned_rows is None else f" of {wording.count(result.planned_rows)}"
    return [f"Unfinished: {wording.count(there)}{planned} measurements are there. The same `serveoff loadtest` goes on with the others."]
