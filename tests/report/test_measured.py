"""What the cells of the measured tables say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from report.headline import claims
from report.measured import conditions, measured
from report.rows import groups
from serveoff.results import WRONG_ANSWER


@pytest.mark.parametrize(
    ("errors", "sampled", "shown"),
    [
        ({WRONG_ANSWER: 3}, 32, "3 of 32 sampled [1]"),
        ({WRONG_ANSWER: 3, "timeout": 7}, 64, "7, 3 of 64 sampled [1]"),
        ({"timeout": 7}, 32, "7 [1]"),
        ({}, 32, "0"),
    ],
)
def test_wrong_answers_are_counted_among_those_that_were_compared(make: Any, errors: dict[str, int], sampled: int, shown: str) -> None:
    seen = msgspec.structs.replace(make.measurement(make.lognormal(500, 1600, 1), 200.0, errors=errors), sampled=sampled)
    cell = make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, seen, ("so it is",))
    (group,) = groups(make.run([cell]))
    table = measured(group)
    column = [c.title for c in table.columns].index("errors")
    assert table.lines[0].values[column].text == shown
    assert cell.wrong is (WRONG_ANSWER in errors)


def test_binary_rows_of_two_protocols_say_what_their_payloads_share(make: Any) -> None:
    def intro(*protocols: str) -> str:
        seen = make.measurement(make.lognormal(500, 1600, 1), 200.0)
        cells = [make.cell(p, make.manifest("pytorch", "onnx"), p, make.CONSTANT, seen) for p in protocols]
        (group,) = groups(make.run(cells))
        return measured(group).intro

    said = "the same tensor bytes, each in its server's own message"
    assert said in intro("tfs_grpc", "torchserve_grpc")
    assert said not in intro("tfs_grpc")
    assert said not in intro("tfs_rest", "torchserve_rest")


def test_a_row_names_its_model_where_there_are_two(make: Any) -> None:
    def answers(*models: str) -> list[str]:
        seen = make.measurement(make.lognormal(500, 1600, 1), 200.0)
        cells = [make.cell("triton", make.manifest("pytorch", "onnx", model=m), "tfs_grpc", make.CONSTANT, seen) for m in models]
        return [claim.answer for claim in claims(groups(make.run(cells)))]

    assert answers("digits_cnn", "other") == ["digits_cnn onnx on triton over tfs_grpc", "other onnx on triton over tfs_grpc"]
    assert answers("digits_cnn") == ["onnx on triton over tfs_grpc"]


def test_a_quantised_artifact_shows_the_agreement_it_was_judged_by(make: Any) -> None:
    seen = make.measurement(make.lognormal(500, 1600, 1), 200.0)
    by_values = make.manifest("keras", "tflite", precision="int8")
    decided = msgspec.structs.replace(by_values.parity.checks[0], top1=0.98, form_only=False)
    tolerance = msgspec.structs.replace(by_values.parity.tolerance, minimum_top1=0.95)

    def shown(check: Any) -> str:
        verdict = msgspec.structs.replace(by_values.parity, tolerance=tolerance, checks=(check,)) if check else by_values.parity
        manifest = msgspec.structs.replace(by_values, parity=verdict)
        (group,) = groups(make.run([make.cell("triton", manifest, "tfs_grpc", make.CONSTANT, seen)]))
        table = measured(group)
        return table.lines[0].values[[c.title for c in table.columns].index("parity")].text

    assert shown(None) == "pass 1.2e-6"
    assert shown(decided) == "pass top-1 98.0%"
    assert shown(msgspec.structs.replace(decided, form_only=None)) == "pass 1.2e-6", "an older file does not tell what counted"


def condition(make: Any, title: str, *rounds: dict[str, Any]) -> tuple[str, str]:
    """What stands in this column of the one row, and the notes, where its rounds were changed so."""
    artifact, seen = make.manifest("pytorch", "onnx"), make.measurement(make.lognormal(500, 1600, 1), 200.0)
    cells = [
        make.cell("triton", artifact, "tfs_grpc", make.CONSTANT, msgspec.structs.replace(seen, **change), number=number)
        for number, change in enumerate(rounds, start=1)
    ]
    table = conditions(groups(make.run(cells, rounds=len(rounds))))
    return table.lines[0].values[[c.title for c in table.columns].index(title)].text, " ".join(table.notes)


def test_connections_that_were_opened_again_stand_in_a_note(make: Any) -> None:
    assert condition(make, "connections", {"opened_in_window": 0}) == ("8", "")
    assert condition(make, "connections", {}) == ("8", ""), "a file of an earlier version"
    text, notes = condition(make, "connections", {"opened_in_window": 1200}, {"opened_in_window": 34, "connections": 6})
    assert text == "8 [1]"
    assert "onnx on triton over tfs_grpc: 1,234 connections were opened again in the window: connecting is in the latency." in notes
    assert "1 connection was opened again" in condition(make, "connections", {"opened_in_window": 1})[1]


def test_a_warm_up_that_did_not_become_steady_stands_in_a_note(make: Any) -> None:
    assert condition(make, "cut: start", {"warmed_up": True}) == ("2.00 s", "")
    assert condition(make, "cut: start", {}) == ("2.00 s", ""), "a file of an earlier version"
    text, notes = condition(make, "cut: start", {"warmed_up": False})
    assert text == "2.00 s [1]"
    assert "onnx on triton over tfs_grpc: the warm-up ended after 2.00 s without being steady." in notes
    some = ({"warmed_up": False, "cut_s": (1.5, 0.5)}, {"warmed_up": True}, {"warmed_up": False, "cut_s": (1.6, 0.5)})
    assert "ended after 1.60 s without being steady in 2 of 3 rounds." in condition(make, "cut: start", *some)[1]
