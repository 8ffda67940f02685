"""A run of several rounds: intervals in the tables, verdicts at the top, void attempts in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.command import write_report
from report.headline import ONE_ROUND, TWO_ROUNDS, caveats, claims
from report.measured import measured
from report.rows import groups
from serveoff import storage
from serveoff.results import Cell


def cells(make: Any, server: str, median_us: int, rounds: int = 5, void: int = 0, seed: int = 0, n: int = 800) -> list[Cell]:
    """Rounds of one row at 200/s; the first `void` rounds have a void attempt before the one that counts."""
    made = []
    rng = np.random.default_rng(seed)
    for number in range(1, rounds + 1):
        samples = (median_us * (1 + 0.01 * rng.standard_normal(n))).astype(np.int64)
        measurement = make.measurement(samples, offered_rps=200.0)
        artifact = make.manifest("pytorch", "onnx")
        for attempt in (1, 2) if number <= void else (1,):
            wrong = ("another process used 40% of a core",) if number <= void and attempt == 1 else ()
            made.append(make.cell(server, artifact, "tfs_grpc", make.CONSTANT, measurement, wrong, number=number, attempt=attempt))
    return made


def test_rounds_of_a_row_are_one_row_with_an_interval(make: Any) -> None:
    (group,) = groups(make.run(cells(make, "triton", 1000), rounds=5))
    (row,) = group.rows
    assert row.p99 is not None
    assert (row.p99.n, row.verdict, row.drift) == (4000, "VALID", None)
    assert row.ranges["p99"].low < row.p99.value_us < row.ranges["p99"].high
    assert row.throughput == pytest.approx(100)  # 800 replies in each eight seconds
    table = measured(group)
    shown = dict(zip([column.title for column in table.columns], [value.text for value in table.lines[0].values], strict=True))
    assert shown["rounds"] == "5"
    low, _, high = shown["p99 95%"].partition(" to ")
    assert float(low) < float(shown["p99 ms"]) < float(high)


def test_with_rounds_the_headline_gives_verdicts(make: Any) -> None:
    run = make.run(
        [*cells(make, "triton", 1000), *cells(make, "tfserving", 1300, seed=1), *cells(make, "openvino", 1005, seed=2)], rounds=5
    )
    (claim,) = claims(groups(run))
    assert claim.answer == "onnx on triton over tfs_grpc"
    told = " ".join(claim.evidence)
    assert "(95%, over 5 rounds)" in told
    assert "Shown to be slower, by p99 against this row's: onnx on tfserving over tfs_grpc (1.30 times, 1." in told
    assert "No difference shown between it and onnx on openvino over tfs_grpc" in told
    said = caveats(groups(run))
    assert said[0].startswith("Rows were measured in rounds")
    assert ONE_ROUND not in said


def test_two_rounds_give_neither_interval_nor_verdict(make: Any) -> None:
    found = groups(make.run([*cells(make, "triton", 1000, 2), *cells(make, "tfserving", 2000, 2)], rounds=2))
    assert [row.ranges for row in found[0].rows] == [{}, {}]
    assert not any("95%" in column.title for column in measured(found[0]).columns)
    (claim,) = claims(found)
    assert "Shown" not in " ".join(claim.evidence)
    assert caveats(found)[0] == TWO_ROUNDS


def test_void_attempts_are_counted_and_said(make: Any, tmp_path: Path) -> None:
    run = make.run([*cells(make, "triton", 1000, void=2), *cells(make, "tfserving", 1300)], rounds=5)
    storage.write(tmp_path / "run.json", run)
    text = write_report(tmp_path)[0].read_text()
    assert "| 5, 2 void [1] | VALID" in text
    assert "void: round 1, attempt 1: another process used 40% of a core. round 2, attempt 1: another process used 40%" in text
    assert "2 rows, 2 of them VALID, 5 rounds" in text
    assert "| rounds that were void |" in text


def test_a_row_without_enough_valid_rounds_is_invalid(make: Any) -> None:
    lost = [c for c in cells(make, "triton", 500, void=3) if c.attempt == 1]
    (group,) = groups(make.run([*lost, *cells(make, "tfserving", 1300)], rounds=5))
    assert [(row.server, row.verdict) for row in group.rows] == [("tfserving", "VALID"), ("triton", "INVALID")]
    assert group.rows[1].reasons == ("2 of 5 rounds are VALID, 3 are needed", "another process used 40% of a core")
    (claim,) = claims([group])
    assert claim.answer == "onnx on tfserving over tfs_grpc"


def test_void_rounds_never_make_an_interval(make: Any) -> None:
    lost = [c for c in cells(make, "triton", 500, void=5) if c.attempt == 1]
    (group,) = groups(make.run(lost, rounds=5))
    assert len(group.rows[0].rounds) == 5
    assert group.rows[0].ranges == {}
    assert not group.intervals
