"""Rows of different weights are no twins: nothing is claimed of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from report import background, pairs, weights
from report.headline import caveats, claims
from report.rows import groups
from serveoff.results import RunResult


def run_of(make: Any, served: tuple[str, str], proven: str) -> RunResult:
    """A row of each framework, exported from the `served` weights; the twin proof and the training are about `proven`."""
    cells = []
    for framework, form, digest in zip(("pytorch", "keras"), ("onnx", "savedmodel"), served, strict=True):
        artifact = msgspec.structs.replace(make.manifest(framework, form), weights_sha256=digest)
        cells.append(make.cell("triton", artifact, "tfs_grpc", make.CONSTANT, make.measurement(make.lognormal(500, 1600, 1), 200.0)))
    made: RunResult = make.run(cells)
    first, second = made.training
    return msgspec.structs.replace(
        made,
        training=(msgspec.structs.replace(first, weights_sha256=proven), msgspec.structs.replace(second, weights_sha256="own")),
        twins=tuple(msgspec.structs.replace(twin, weights_sha256=proven) for twin in made.twins),
    )


def test_the_same_weights_are_compared(make: Any) -> None:
    run = run_of(make, ("a", "a"), "a")
    assert [bool(claim.answer) for claim in claims(groups(run))] == [True]
    assert not any("compares checkpoints" in said for said in caveats(groups(run)))
    assert len(background.twins(run).lines) == 1
    assert len(weights.training(run)) == 2, "the other framework was trained for the comparison, too"


@pytest.mark.parametrize(
    ("served", "proven", "why", "proofs"),
    [(("a", "b"), "b", "2 different sets of weights", 1), (("a", "a"), "b", "other weights than its twin proof", 0)],
)
def test_other_weights_are_said_at_the_top_and_support_no_claim(
    make: Any, served: tuple[str, str], proven: str, why: str, proofs: int
) -> None:
    run = run_of(make, served, proven)
    first = caveats(groups(run))[0]
    assert first.startswith("digits_cnn compares checkpoints")
    assert why in first
    assert [(claim.answer, why in claim.evidence[0]) for claim in claims(groups(run))] == [("", True)]
    assert len(background.twins(run).lines) == proofs
    assert len(weights.training(run)) == 2 * proofs


def test_two_targets_of_other_weights_are_compared_with_a_note(make: Any) -> None:
    notes = [pairs.of_targets(run_of(make, served, "a"), "onnx", "savedmodel").notes for served in (("a", "a"), ("a", "b"))]
    assert notes == [(), ("Other weights: this compares checkpoints, too.",)]
