"""The table of what each artifact takes by itself, as it was measured when it was exported: the floor of every server."""

from __future__ import annotations

from collections.abc import Sequence

from serveoff.contract import Calls, Manifest

from . import wording
from .table import Column, Line, Notes, Table, Value, columns, line, number

_BATCHES = (1, 8)


def facts(made: Sequence[Manifest]) -> Table:
    notes = Notes()
    return Table(
        title="Artifacts without a server",
        columns=(
            *columns(("artifact",)),
            *(Column(title, numeric=True) for title in ("cold load", "first inference", "resident memory")),
            *(Column(f"batch {batch}, {who}", numeric=True) for who in ("1 thread", "all threads") for batch in _BATCHES),
        ),
        lines=tuple(_line(manifest, notes) for manifest in made),
        intro="Measured once, right after the export, in a process that holds nothing but the artifact and its runtime. "
        "The cold load is a fresh process's, with the runtime's import; memory is what it holds then. The others are milliseconds: of the "
        "first call, then the median of calls one after the other. Other exports may have run beside it; "
        "under 'Where the time goes' the runtime stands alone as it was measured during the load test.",
        empty="There is no artifact.",
        notes=tuple(notes.texts),
    )


def _line(manifest: Manifest, notes: Notes) -> Line:
    found, name = manifest.facts, wording.clean(manifest.id)
    if found is None or found.reason:
        why = wording.clean(found.reason) if found else "its export measured nothing; serveoff export without --no-facts does"
        nothing = number(f"{wording.NOTHING} {notes.refer(f'{name}: {why}.')}", None)
        return line(name, nothing, *[number(wording.NOTHING, None)] * 6)
    most = max((one.threads for one in found.latency), default=1)
    return line(
        name,
        number(wording.seconds(found.cold_load_s), found.cold_load_s),
        _ms(found.first_inference_s * 1e6),
        number(wording.size(found.resident_bytes), found.resident_bytes),
        *(_median(found.latency, threads, batch, name, notes) for threads in (1, most) for batch in _BATCHES),
    )


def _median(latency: tuple[Calls, ...], threads: int, batch: int, name: str, notes: Notes) -> Value:
    for one in latency:
        if (one.threads, one.batch) == (threads, batch):
            return _ms(one.p50_us)
    fixed = latency[0] if latency else None
    return number(f"{wording.NOTHING} {notes.refer(f'{name} takes batches of {fixed.batch} only.')}" if fixed else wording.NOTHING, None)


def _ms(us: float) -> Value:
    return number(wording.milliseconds(round(us)), us)
