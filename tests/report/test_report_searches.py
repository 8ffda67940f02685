"""Rows whose load was searched: a capacity has an answer of its own, a sweep is a curve."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from report.headline import claims
from report.measured import conditions, measured
from report.plots.figure import looks
from report.plots.throughput import throughput_figures
from report.rows import groups
from report.verdicts import compare, judge
from serveoff.results import Cell, Probe, ProfileChoice
from serveoff.surroundings import Surroundings

CAPACITY = ProfileChoice(name="capacity", options={"slo_ms": 50.0, "duration_s": 8.0})
SWEEP = ProfileChoice(name="sweep", options={"start_rps": 50.0, "duration_s": 8.0})


def searched(make: Any, server: str, profile: ProfileChoice, rates: list[float], number: int = 1) -> Cell:
    probes = []
    for rate in rates:
        measured = make.measurement(np.full(round(8 * rate), round(100 * rate)), offered_rps=rate)
        load = ProfileChoice(name="poisson", options={"rate_rps": rate})
        probes.append(Probe(profile=load, measurement=measured, verdict="VALID", reasons=(), kept=True))
    cell: Cell = make.cell(server, make.manifest("pytorch", "onnx"), "tfs_grpc", profile, probes[-1].measurement, number=number)
    return msgspec.structs.replace(cell, probes=tuple(probes), capacity_rps=rates[-1] if profile is CAPACITY else None)


def test_the_highest_capacity_is_the_answer_and_its_rounds_are_judged(make: Any) -> None:
    cells = [searched(make, "triton", CAPACITY, [100, 400 + 2 * r], r) for r in range(1, 6)]
    cells += [searched(make, "tfserving", CAPACITY, [100, 300 + 2 * r], r) for r in range(1, 6)]
    cells += [searched(make, "openvino", CAPACITY, [100, 380 + 2 * r], r) for r in range(1, 6)]
    (group,) = groups(make.run(cells, rounds=5))
    (claim,) = claims([group])
    assert (claim.answer, claim.figure) == ("onnx on triton over tfs_grpc", "406 requests/s")
    told = " ".join(claim.evidence)
    assert "Its capacity in requests/s: 40" in told
    assert "Shown to be slower, by capacity against this row's: onnx on tfserving over tfs_grpc (0.75 times" in told
    assert "No difference shown between it and onnx on openvino" in told  # 5 % apart: a search is no finer
    table = measured(group)
    titles = [column.title for column in table.columns]
    assert table.lines[0].values[titles.index("capacity/s")].text in ("406", "386", "306")


def test_one_search_claims_no_more_than_its_precision(make: Any) -> None:
    cells = [
        searched(make, "triton", CAPACITY, [400]),
        searched(make, "tfserving", CAPACITY, [370]),
        searched(make, "openvino", CAPACITY, [90]),
    ]
    (claim,) = claims(groups(make.run(cells)))
    assert claim.figure == "400 requests/s"
    assert "Differences in capacity below 10% are not evidence here." in claim.evidence
    assert "So it is not told apart from onnx on tfserving over tfs_grpc (370/s)." in claim.evidence


def test_rows_without_a_capacity_have_no_answer(make: Any) -> None:
    cell = msgspec.structs.replace(searched(make, "triton", CAPACITY, [400]), capacity_rps=None)
    (claim,) = claims(groups(make.run([cell])))
    assert claim.evidence == ("No answer: no VALID row has found one.",)


def test_a_sweep_is_a_curve_of_its_steps_and_claims_nothing(make: Any) -> None:
    found = groups(make.run([searched(make, "triton", SWEEP, [50, 100, 200])]))
    assert claims(found) == []
    (figure,) = throughput_figures(found, looks(found))
    (curve,) = figure.data["data"]
    assert curve["x"] == pytest.approx([50, 100, 200])
    assert curve["y"] == sorted(curve["y"])


def test_a_sweeps_way_back_is_told(make: Any) -> None:
    (group,) = groups(make.run([searched(make, "triton", SWEEP, [50, 100, 200, 50])]))
    table = measured(group)
    assert table.lines[0].values[-1].text == "VALID [1]"
    assert table.notes == (
        "onnx on triton over tfs_grpc: after saturation, again at poisson, 50/s: p50 5.003 ms, p99 5.003 ms; "
        "before: p50 5.003 ms, p99 5.003 ms.",
    )
    (stopped,) = groups(make.run([searched(make, "triton", SWEEP, [50, 100])]))
    assert measured(stopped).lines[0].values[-1].text == "VALID"


def test_capacities_that_agree_exactly_still_need_a_difference_beyond_the_search(make: Any) -> None:
    def row(server: str, rate: float) -> Any:
        return groups(make.run([searched(make, server, CAPACITY, [rate], r) for r in range(1, 6)], rounds=5))[0]

    a, b, c = (row(server, rate) for server, rate in (("triton", 400.0), ("tfserving", 370.0), ("openvino", 350.0)))
    assert [judge([compare(a.rows[0].rounds, other.rows[0].rounds, a.metric, paired=True)])[0] for other in (b, c)] == [
        "no difference shown",
        "slower",
    ]


def test_what_happened_around_a_row_is_told(make: Any) -> None:
    def surrounded(number: int, other: float) -> Cell:
        around = Surroundings(client_cpu_peak=0.5, hub_lag_p99_us=812.0 * number, target_cpu=0.5 * number, other_cpu=other, stolen_cpu=None)
        measurement = msgspec.structs.replace(make.measurement(np.full(1600, 500)), surroundings=around)
        return make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CLOSED, measurement, number=number)  # type: ignore[no-any-return]

    table = conditions(groups(make.run([surrounded(1, 0.25), surrounded(2, 0.04)], rounds=2)))
    shown = dict(zip([column.title for column in table.columns], [value.text for value in table.lines[0].values], strict=True))
    assert (shown["client late"], shown["target CPU"], shown["others' CPU"], shown["stolen"]) == ("1.624 ms", "75%", "25%", "-")
