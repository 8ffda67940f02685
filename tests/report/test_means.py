"""What each server had and used, as the report says it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from report.means import _cores, used
from report.rows import groups
from serveoff.results import Cell
from serveoff.surroundings import Surroundings, Usage

USED = Usage(
    cpu_s=0.8,
    memory_mean_bytes=310e6,
    memory_peak_bytes=420_000_000,
    processes=3,
    threads=40,
    voluntary_switches=4000,
    involuntary_switches=None,
)


def cell(make: Any, number: int = 1, **changes: Any) -> Cell:
    seen = make.measurement(make.lognormal(500, 1600, number), 200.0)
    around = Surroundings(client_cpu_peak=0.3, hub_lag_p99_us=400, **changes)
    done: Cell = make.cell(
        "triton",
        make.manifest("pytorch", "onnx"),
        "tfs_grpc",
        make.CONSTANT,
        msgspec.structs.replace(seen, surroundings=around),
        number=number,
    )
    return done


def row(make: Any, *cells: Cell) -> dict[str, str]:
    table = used(groups(make.run(cells, rounds=len(cells))))
    return dict(zip((c.title for c in table.columns), (v.text for v in table.lines[0].values), strict=True))


def test_a_request_costs_the_servers_cpu_over_its_replies(make: Any) -> None:
    shown = row(make, cell(make, usage=USED, target_cores=(0, 1, 2, 5), client_cores=(3,)))
    assert shown["CPU a reply"] == "0.500 ms", "0.8 s over 1600 replies"
    assert (shown["cores"], shown["client's cores"]) == ("0-2, 5", "3")
    assert (shown["memory"], shown["memory, peak"], shown["processes"], shown["threads"]) == ("310 MB", "420 MB", "3", "40")
    assert (shown["waits a reply"], shown["interrupted a reply"]) == ("2.50", "-")
    assert shown["threads a call"] == "1"


def test_rounds_are_summed_but_memory_is_no_sum(make: Any) -> None:
    more = msgspec.structs.replace(USED, cpu_s=1.6, memory_mean_bytes=350e6, memory_peak_bytes=400_000_000)
    shown = row(make, cell(make, 1, usage=USED), cell(make, 2, usage=more))
    assert shown["CPU a reply"] == "0.750 ms"
    assert (shown["memory"], shown["memory, peak"], shown["waits a reply"]) == ("330 MB", "420 MB", "2.50")


def test_what_one_round_does_not_tell_is_not_guessed_from_the_other(make: Any) -> None:
    shown = row(make, cell(make, 1, usage=USED, target_cores=(0,)), cell(make, 2))
    assert {shown[name] for name in ("cores", "CPU a reply", "memory", "threads")} == {"-"}


@pytest.mark.parametrize(("cores", "text"), [((), ""), ((7,), "7"), ((0, 1), "0-1"), ((0, 2, 3, 4, 9), "0, 2-4, 9"), (None, "-")])
def test_cores_as_spans(cores: tuple[int, ...] | None, text: str) -> None:
    assert _cores(cores) == text
