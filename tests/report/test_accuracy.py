"""Accuracies over seeds: intervals, and what is said of a gap."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from scipy import stats

from report.accuracy import accuracy_table, gap_table, gaps, mean
from report.plots.curves import curves_figures
from report.training import write_page
from serveoff import storage
from serveoff.contract import Framework
from serveoff.training import TrainingRecord
from serveoff.workspace import Workspace

KERAS = (0.981, 0.975, 0.978, 0.983)


def records(make: Any, keras: tuple[float, ...], pytorch: tuple[float, ...], **changes: Any) -> list[TrainingRecord]:
    (template, _) = make.run([]).training

    def one(framework: Framework, seed: int, last: float) -> TrainingRecord:
        made = {
            "framework": framework,
            "seed": seed,
            "validation_curve": (0.9, last),
            "initial_from": "pytorch",
            "initial_sha256": str(seed),
        }
        timed = {"loss_curve": (1.0, 0.2), "epoch_s": (0.9, 0.1, 0.1), "rows": 1437}
        record: TrainingRecord = msgspec.structs.replace(template, **(made | timed | changes))
        return record

    return [one("keras", n, last) for n, last in enumerate(keras)] + [one("pytorch", n, last) for n, last in enumerate(pytorch)]


def test_the_interval_is_students() -> None:
    found = mean(KERAS)
    known = stats.ttest_1samp(KERAS, 0.0)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(known.confidence_interval()))
    assert found.p == pytest.approx(known.pvalue)
    assert mean(KERAS[:2]).interval is None
    equal = mean((0.0, 0.0, 0.0))
    assert equal.p == 1.0
    assert mean((0.5, 0.5, 0.5)).p == 0.0


def moved(*by: float) -> tuple[float, ...]:
    return tuple(value + each for value, each in zip(KERAS, by, strict=True))


def verdicts(given: list[TrainingRecord]) -> list[str]:
    return [line.values[-1].text for line in gap_table(given).lines]


def test_a_gap_is_shown_or_not(make: Any) -> None:
    assert verdicts(records(make, KERAS, moved(0.001, -0.001, 0.002, -0.001))) == ["no difference shown"]
    assert verdicts(records(make, KERAS, moved(-0.011, -0.010, -0.012, -0.010))) == ["keras is higher"]
    assert verdicts(records(make, KERAS, moved(0.011, 0.010, 0.012, 0.010))) == ["pytorch is higher"]


def test_what_cannot_be_judged_says_why(make: Any) -> None:
    assert verdicts(records(make, KERAS[:1], (0.98,))) == ["not judged (1 seed, a verdict needs 3)"]
    assert verdicts(records(make, KERAS, KERAS, initial_sha256="")) == ["not judged (each started from weights of its own)"]
    other = records(make, KERAS, ()) + [msgspec.structs.replace(r, epochs=3) for r in records(make, (), KERAS)]
    assert verdicts(other) == ["not judged (other seeds or epochs)"]
    assert gaps(records(make, KERAS, ())) == []


def test_the_table_and_the_curves(make: Any, tmp_path: Any) -> None:
    given = records(make, KERAS, KERAS)
    keras = [value.text for value in accuracy_table(given).lines[0].values]
    assert keras[2:] == ["0, 1, 2, 3", "20", "97.92%", "97.37% to 98.48%", "4.50 s", "14,370", "9,930", "from pytorch"]
    (figure,) = curves_figures(given)
    bold = [trace for trace in figure.data["data"] if trace["line"]["width"] > 2]
    assert [(t["name"], t["yaxis"], t["y"][-1]) for t in bold] == [
        ("keras", "y", pytest.approx(0.97925)),
        ("keras", "y2", 0.2),
        ("pytorch", "y", pytest.approx(0.97925)),
        ("pytorch", "y2", 0.2),
    ]
    assert len(figure.data["data"]) == 4 + 16, "each seed is drawn, too"
    workspace = Workspace(tmp_path)
    for record in given:
        storage.write(workspace.checkpoint("digits_cnn") / f"training-{record.framework}-{record.seed}.json", record)
    page = write_page(workspace).read_text()
    assert "97.92%" in page
    assert "no difference shown" in page
