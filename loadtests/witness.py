"""The second witness: rows once more, each by a client that shares no line of code with ours (`witnesses/<name>.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serveoff.contract import Skip
from serveoff.errors import ServeoffError
from serveoff.registry import WITNESSES
from serveoff.results import Cell, Witness

from . import handover, measure, witnesses
from .payloads import FILE
from .turns import Turns


def hear(cells: Sequence[Cell], directory: Path, turns: Turns) -> tuple[tuple[Witness, ...], tuple[Skip, ...]]:
    """Let each witness that is installed repeat the first row that it can. `directory` holds the cells' files."""
    heard, skips = [], []
    for name, one in WITNESSES.all().items():
        try:
            witnesses.require(one.program, one.install)
            heard.append(_testify(name, one, cells, directory, turns))
        except ServeoffError as error:
            reason = "; ".join(filter(None, (error.message, error.hint)))
            skips.append(Skip(stage="loadtest", what=f"the second witness, {name}", reason=reason))
    return tuple(heard), tuple(skips)


def _testify(name: str, one: witnesses.Witness, cells: Sequence[Cell], directory: Path, turns: Turns) -> Witness:
    cell = next((c for c in cells if c.verdict == "VALID" and c.client == "raw" and one.fits(c)), None)
    if cell is None:
        raise ServeoffError(f"no row is VALID that it could repeat: {one.rows}")
    assert cell.measurement is not None
    work = directory / f"{cell.target.id}.{cell.protocol}"
    turns.give(cell.target)
    seen = one.repeat(witnesses.Row(cell, handover.unpack(work / FILE, handover.Payloads), work))
    ours = measure.percentiles_us(cell.measurement.service_hdr, (50, 99))
    return Witness(
        tool=name,
        target_id=cell.target.id,
        protocol=cell.protocol,
        profile=cell.profile,
        connections=seen.connections,
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        throughput_rps=seen.rps,
        ours_p50_us=ours[50],
        ours_p99_us=ours[99],
        ours_rps=cell.measurement.throughput_rps,
        otherwise=one.otherwise,
    )
