"""The answer at the top claims no more than the run shows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from report.document import document
from report.headline import Claim, caveats, claims
from report.rows import groups


def answers(run: Any) -> list[Claim]:
    return claims(groups(run))


def constant(make: Any, server: str, form: str, median_us: int, n: int = 1600, seed: int = 0, **more: Any) -> Any:
    """A row at 200/s: latencies within 2 % of the median, so that its halves agree."""
    samples = np.random.default_rng(seed).integers(int(median_us * 0.98), median_us, n)
    measured = make.measurement(samples, offered_rps=200.0)
    return make.cell(server, make.manifest("pytorch", form), "tfs_grpc", make.CONSTANT, measured, **more)


def closed(make: Any, server: str, form: str, n: int) -> Any:
    return make.cell(server, make.manifest("pytorch", form), "tfs_grpc", make.CLOSED, make.measurement(np.full(n, 500)))


def test_the_lowest_p99_wins_and_the_next_is_named(make: Any) -> None:
    run = make.run(
        [constant(make, "triton", "onnx", 1000), constant(make, "triton", "torchscript", 2000), constant(make, "triton", "tflite", 3000)]
    )
    (claim,) = answers(run)
    assert claim.answer == "onnx on triton over tfs_grpc"
    assert claim.figure == "p99 0.999 ms"
    assert "Next, and further away than that: torchscript on triton over tfs_grpc (1.999 ms)." in claim.evidence


def test_a_close_second_is_not_told_apart(make: Any) -> None:
    run = make.run(
        [constant(make, "triton", "onnx", 1000), constant(make, "triton", "torchscript", 1080), constant(make, "triton", "tflite", 3000)]
    )
    (claim,) = answers(run)
    assert "So it is not told apart from torchscript on triton over tfs_grpc (1.079 ms)." in claim.evidence
    assert "Differences in p99 below 10% are not evidence here." in claim.evidence


def test_a_row_that_moves_within_itself_raises_the_bar(make: Any) -> None:
    rising = make.measurement(np.linspace(1200, 1800, 1600).astype(np.int64), offered_rps=200.0)
    unsteady = make.cell("triton", make.manifest("pytorch", "torchscript"), "tfs_grpc", make.CONSTANT, rising)
    (claim,) = answers(make.run([constant(make, "triton", "onnx", 1400), unsteady]))
    assert "Differences in p99 below 20% are not evidence here." in claim.evidence
    (same,) = answers(make.run([constant(make, "triton", "onnx", 1600), unsteady]))
    assert any("not told apart from torchscript" in sentence for sentence in same.evidence)


@pytest.mark.parametrize("flaw", ["invalid", "live", "few"])
def test_a_row_that_may_not_be_used_never_wins(make: Any, flaw: str) -> None:
    flaws: dict[str, dict[str, Any]] = {
        "invalid": {"reasons": ("the client was busy",)},
        "live": {"live": make.parity(0.5, passed=False, reason="0.5 apart")},
        "few": {"n": 999},
    }
    run = make.run([constant(make, "triton", "onnx", 1000, **flaws[flaw]), constant(make, "triton", "torchscript", 2000)])
    (claim,) = answers(run)
    assert claim.answer == "torchscript on triton over tfs_grpc"
    assert "It is the only row that can be compared here." in claim.evidence
    assert any(sentence.startswith("Not considered: 1 of 2 rows") for sentence in claim.evidence)


def test_without_a_usable_row_there_is_no_answer(make: Any) -> None:
    (void,) = answers(make.run([constant(make, "triton", "onnx", 1000, reasons=("it was not steady",))]))
    assert (void.answer, void.evidence) == ("", ("No answer: no row is VALID.",))
    (few,) = answers(make.run([constant(make, "triton", "onnx", 1000, n=900)]))
    assert (few.answer, few.evidence) == ("", ("No answer: no VALID row has the 1,000 replies that a p99 needs.",))
    (closed_claim,) = answers(
        make.run([make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CLOSED, None, ("it died",))])
    )
    assert (closed_claim.answer, closed_claim.evidence) == ("", ("No answer: no row is VALID.",))


def test_the_closed_loop_is_judged_by_throughput(make: Any) -> None:
    (claim,) = answers(make.run([closed(make, "triton", "onnx", 4000), closed(make, "triton", "torchscript", 8000)]))
    assert (claim.answer, claim.figure) == ("torchscript on triton over tfs_grpc", "1,000 replies/s")
    assert "Next, and further away than that: onnx on triton over tfs_grpc (500/s)." in claim.evidence


def test_where_our_own_server_leads_the_best_other_is_named(make: Any) -> None:
    run = make.run([constant(make, "embedded", "onnx", 1000), constant(make, "torchserve", "onnx", 4000)])
    (claim,) = answers(run)
    assert claim.answer == "onnx on embedded over tfs_grpc"
    assert "Best of the other servers: onnx on torchserve over tfs_grpc (3.999 ms)." in claim.evidence
    assert any("not those of TF Serving or TorchServe" in caveat for caveat in caveats(groups(run)))
    (alone,) = answers(make.run([constant(make, "embedded", "onnx", 1000)]))
    assert "No other server has a row that can be compared here." in alone.evidence


def test_every_run_says_that_it_is_one_round(make: Any, recorded_run: Any) -> None:
    said = caveats(groups(recorded_run))
    assert said[0].startswith("Each row is one short round, so no claim here has an interval")
    assert said[1].startswith("2 of 24 rows are INVALID")
    assert len(caveats(groups(make.run([])))) == 1


def test_models_profiles_and_encodings_are_never_mixed(make: Any) -> None:
    json = make.cell("triton", make.manifest("pytorch", "onnx"), "tfs_rest", make.CONSTANT, None, ("it died",))
    other = make.cell("triton", make.manifest("pytorch", "onnx", model="other"), "tfs_grpc", make.CONSTANT, None, ("it died",))
    made = groups(make.run([constant(make, "triton", "onnx", 1000), closed(make, "triton", "onnx", 4000), json, other]))
    assert [(g.model, g.profile, g.encoding, len(g.rows)) for g in made] == [
        ("digits_cnn", "constant, 200/s", "binary", 1),
        ("digits_cnn", "constant, 200/s", "json", 1),
        ("digits_cnn", "closed, 8 users", "binary", 1),
        ("other", "constant, 200/s", "binary", 1),
    ]


def test_a_format_of_both_frameworks_says_which(make: Any) -> None:
    cells = [
        make.cell("embedded", make.manifest(framework, "onnx"), "tfs_grpc", make.CONSTANT, None, ("it died",))
        for framework in ("keras", "pytorch")
    ]
    cells.append(make.cell("embedded", make.manifest("keras", "tflite"), "tfs_grpc", make.CONSTANT, None, ("it died",)))
    (group,) = groups(make.run(cells))
    assert sorted(row.artifact for row in group.rows) == ["onnx from keras", "onnx from pytorch", "tflite"]


def test_an_unfinished_run_says_so_before_anything_else(make: Any) -> None:
    cell = make.cell("tfserving", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, None, ("it died",))
    half = msgspec.structs.replace(make.run([cell]), finished=False, planned_rows=24)
    assert document(half).caveats[0] == (
        "Unfinished: 1 of 24 measurements are there. The same `serveoff loadtest` goes on with the others."
    )
    assert not any(said.startswith("Unfinished") for said in document(make.run([cell])).caveats)
