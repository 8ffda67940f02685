"""Training throughput: figures, intervals and verdicts from recorded step times."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from report.bootstrap import THROUGHPUT, ratio
from report.plots.speeds import speeds_figure
from report.speeds import per_second, speed_table, turns
from report.training import write_page
from serveoff import storage
from serveoff.contract import Framework, HostFacts, Skip
from serveoff.training import StepTimes, ThroughputResult
from serveoff.workspace import Workspace

HOST = HostFacts(cpu_model="CPU", logical_cores=2, memory_bytes=1, system="Linux", python="3.11", packages={})


def times(model: str, framework: Framework, step_s: float, rounds: int = 5, spread: float = 0.01, **changes: Any) -> StepTimes:
    rng = np.random.default_rng(len(model) + len(framework))
    drawn = tuple(tuple(float(s) for s in step_s * np.exp(spread * rng.standard_normal(8))) for _ in range(rounds))
    made = StepTimes(
        model=model,
        framework=framework,
        mode="eager" if framework == "pytorch" else "tf.function",
        device="cpu",
        unit="images",
        batch=16,
        units_per_step=16,
        parameters=1234,
        first_loss=2.3026,
        step_s=drawn,
    )
    return msgspec.structs.replace(made, **changes)


def result(*rows: StepTimes, skips: tuple[Skip, ...] = ()) -> ThroughputResult:
    return ThroughputResult(
        created_at="2026-11-24T22:00:00+00:00",
        seconds=9.0,
        host=HOST,
        threads=2,
        seed=0,
        rounds=5,
        warmup_steps=4,
        rows=rows,
        skips=skips,
    )


def told(given: ThroughputResult) -> dict[str, list[str]]:
    return {line.values[0].text: [value.text for value in line.values] for line in speed_table(given).lines}


def test_who_is_faster_is_said_with_its_interval() -> None:
    given = result(
        times("a", "keras", 0.100),
        times("a", "pytorch", 0.050),
        times("b", "keras", 0.100),
        times("b", "pytorch", 0.100),
        times("c", "keras", 0.050),
        times("c", "pytorch", 0.100),
    )
    lines = told(given)
    assert [line[9] for line in lines.values()] == ["pytorch is faster", "no difference shown", "keras is faster"]
    assert lines["a"][:4:3] == ["a", wording_of(given.rows[1])]
    known = ratio(turns(given.rows[0]), turns(given.rows[1]), THROUGHPUT, paired=True)
    assert known is not None
    assert known.interval.low < 2 < known.interval.high or known.value == pytest.approx(2, rel=0.02)
    assert lines["a"][8] == f"{known.interval.low:.2f} to {known.interval.high:.2f}"


def wording_of(row: StepTimes) -> str:
    """All images over all seconds."""
    return f"{16 * 40 / sum(sum(steps) for steps in row.step_s):.0f}"


def test_tokens_count_as_tokens() -> None:
    row = times("gnmt", "keras", 0.1, spread=0.0, unit="tokens", units_per_step=16 * 20)
    assert per_second(row) == pytest.approx(3200)


def test_what_cannot_be_judged_and_what_was_skipped_is_said() -> None:
    skip = Skip(stage="train --throughput", what="vgg19@64 in keras", reason="took longer than 300 s")
    given = result(times("a", "keras", 0.1, rounds=2), times("a", "pytorch", 0.1, rounds=2), times("alone", "pytorch", 0.1), skips=(skip,))
    lines = told(given)
    assert lines["a"][9] == "not judged (2 valid rounds, a verdict needs 3)"
    assert lines["alone"][9] == "one framework only"
    assert lines["alone"][5] == "-"
    assert lines["vgg19@64 in keras"][9] == "skipped: took longer than 300 s"
    assert {len(line) for line in lines.values()} == {len(speed_table(given).columns)}


def test_the_page_and_the_figure(tmp_path: Any) -> None:
    given = result(times("a", "keras", 0.100), times("a", "pytorch", 0.050), times("alone", "pytorch", 0.1))
    figure = speeds_figure(given)
    assert figure is not None
    assert figure.data["data"][0]["y"] == ["a"]
    assert figure.data["data"][0]["x"] == [pytest.approx(2, rel=0.02)]
    assert speeds_figure(result(times("alone", "pytorch", 0.1))) is None
    workspace = Workspace(tmp_path)
    storage.write(workspace.throughput, given)
    assert "pytorch is faster" in write_page(workspace).read_text()
