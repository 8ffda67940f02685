"""The table of where a request's time goes: waiting to be sent, on the wire, in the server, and what the bare runtime takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serveoff.results import Floor

from . import wording
from .percentiles import Distribution
from .rounds import Pooled
from .rows import Group, Row
from .table import Line, Notes, Table, Value, columns, line, number

_NUMBERS = ("latency", "wait to send", "wire, client", "server", "server: queue", "server: model", "server: rest", "runtime alone")


def where(groups: list[Group], floors: Sequence[Floor]) -> Table:
    """One line for each row that was measured."""
    notes, by_artifact = Notes(), {(floor.artifact_id, floor.threads): floor for floor in floors}
    return Table(
        title="Where the time goes",
        columns=columns(("row", "load", *_NUMBERS), numeric=_NUMBERS),
        lines=tuple(_line(group, row, by_artifact, notes) for group in groups for row in group.rows),
        intro="Mean milliseconds of a request; latency is the sum of 'wait to send', 'wire, client' and 'server'. 'Server' is what the "
        "server's own counters say, from just before the window until the load had ended (what waits before a server has read it is not in "
        "them, and stands under 'wire'): 'queue' is the waiting for the model, 'model' "
        "the model with the code around it, 'rest' what is left. 'Runtime alone' is the median of calls in process, one after the other, "
        "with the server's threads and cores, while all servers slept. '-': nobody tells.",
        empty="Nothing was measured.",
        notes=tuple(notes.texts),
    )


def _line(group: Group, row: Row, floors: Mapping[tuple[str, int], Floor], notes: Notes) -> Line:
    m, target = row.pooled, row.cell.target
    return line(
        row.label,
        f"{group.profile}, {group.encoding}",
        *(_parts(m, notes) if m else [number(wording.NOTHING, None)] * (len(_NUMBERS) - 1)),
        _floor(floors.get((row.cell.manifest.id, target.threads)), row, notes),
        dimmed=not row.usable,
    )


def _parts(m: Pooled, notes: Notes) -> list[Value]:
    latency, service = _mean_us(m.latency), _mean_us(m.service)
    wait = None if latency is None or service is None else latency - service
    side = m.server
    if side is None:
        why = f" {notes.refer(f'{wording.clean(m.server_silent)}.')}" if m.server_silent else ""
        return [_ms(latency), _ms(wait), _ms(None), number(wording.NOTHING + why, None), *[_ms(None)] * 3]
    known = [part for part in (side.queue_us, side.work_us) if part is not None]
    return [
        _ms(latency),
        _ms(wait),
        _ms(None if service is None else service - side.total_us),
        _ms(side.total_us),
        _ms(side.queue_us),
        _ms(side.work_us),
        _ms(side.total_us - sum(known) if known else None),
    ]


def _floor(floor: Floor | None, row: Row, notes: Notes) -> Value:
    if floor is not None and floor.reason:
        return number(f"{wording.NOTHING} {notes.refer(f'{row.artifact} without a server: {wording.clean(floor.reason)}.')}", None)
    return _ms(None if floor is None else floor.p50_us)


def _mean_us(of: Distribution) -> float | None:
    return float(of.values_us @ of.counts) / of.n if of.n else None


def _ms(us: float | None) -> Value:
    if us is None:
        return number(wording.NOTHING, None)
    text = wording.milliseconds(abs(round(us)))
    return number(f"-{text}" if round(us) < 0 else text, us)
