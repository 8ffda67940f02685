"""Where the time of a request goes, as the report says it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from report.rows import groups
from report.split import where
from serveoff.results import Cell, Floor
from serveoff.surroundings import ServerSide

SIDE = ServerSide(requests=1000, total_us=3000, queue_us=1200, work_us=1500)
FLOOR = Floor(artifact_id="digits_cnn.pytorch.onnx.float32", threads=1, batch=1, calls=900, mean_us=420, p50_us=400, p99_us=900)


def cell(make: Any, number: int = 1, **changes: Any) -> Cell:
    """Every reply came 5 ms after it was due, 4 ms after it was sent."""
    seen = make.measurement(np.full(1600, 5000), 200.0)
    seen = msgspec.structs.replace(seen, service_hdr=make.encode(np.full(1600, 4000)), **changes)
    done: Cell = make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, seen, number=number)
    return done


def shown(make: Any, *cells: Cell, floors: tuple[Floor, ...] = (FLOOR,)) -> tuple[dict[str, str], tuple[str, ...]]:
    table = where(groups(make.run(cells, rounds=len(cells))), floors)
    return dict(zip((c.title for c in table.columns), (v.text for v in table.lines[0].values), strict=True)), table.notes


def test_the_parts_are_the_whole(make: Any) -> None:
    row, notes = shown(make, cell(make, server=SIDE))
    parts = [float(row[name]) for name in ("wait to send", "wire, client", "server")]
    assert parts == pytest.approx([1.0, 1.0, 3.0], abs=0.01)
    assert float(row["latency"]) == pytest.approx(sum(parts), abs=0.002)
    assert [row[f"server: {name}"] for name in ("queue", "model", "rest")] == ["1.200", "1.500", "0.300"]
    assert row["runtime alone"] == "0.400"
    assert notes == ()


def test_rounds_count_by_their_requests(make: Any) -> None:
    other = ServerSide(requests=3000, total_us=1000, queue_us=200, work_us=700)
    row, _ = shown(make, cell(make, 1, server=SIDE), cell(make, 2, server=other))
    assert [row[name] for name in ("server", "server: queue", "server: model", "server: rest")] == ["1.500", "0.450", "0.900", "0.150"]


def test_a_server_that_tells_a_part_has_a_rest_of_the_others(make: Any) -> None:
    row, _ = shown(make, cell(make, server=ServerSide(requests=10, total_us=3000, work_us=2500)))
    assert [row[f"server: {name}"] for name in ("queue", "model", "rest")] == ["-", "2.500", "0.500"]
    row, _ = shown(make, cell(make, server=ServerSide(requests=10, total_us=4100)))
    assert [row[f"server: {name}"] for name in ("queue", "model", "rest")] == ["-", "-", "-"]
    assert row["wire, client"] == "-0.099", "the server's counters saw a little more than the window: shown as it is"


def test_silence_and_a_missing_floor_have_their_reasons(make: Any) -> None:
    failed = Floor(artifact_id=FLOOR.artifact_id, threads=1, batch=1, reason="its runtime failed: out of memory")
    row, notes = shown(make, cell(make, server_silent="the server has no page of metrics"), floors=(failed,))
    assert (row["server"], row["runtime alone"], row["wire, client"]) == ("- [1]", "- [2]", "-")
    assert notes == (
        "the server has no page of metrics.",
        "onnx without a server: its runtime failed: out of memory.",
    )
    row, notes = shown(make, cell(make, 1, server=SIDE), cell(make, 2), floors=())
    assert (row["server"], row["runtime alone"], notes) == ("-", "-", ()), "one round's time is not taken for both"
