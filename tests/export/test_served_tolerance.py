"""What may differ where words are chosen: by a server from a quantised artifact, and by float16 from its source; values by their spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import gate, tolerances
from serveoff import parity, reference
from serveoff.contract import Tolerance
from serveoff.plugins import Tensors
from serveoff.reference import Reference

SCORES = np.arange(64, dtype=np.float32).reshape(64, 1) / 8
WORDS = np.arange(64 * 16, dtype=np.int64).reshape(64, 16) * 1000


@pytest.mark.parametrize(("moved", "least"), [(0, 0.98), (4, 0.75)])
def test_words_do_not_loosen_what_is_asked_of_values(tmp_path: Path, moved: int, least: float) -> None:
    def run(inputs: Tensors) -> Tensors:
        rows = inputs["row"]
        words, scores = WORDS[rows], SCORES[rows] + np.float32(0.01 if len(rows) == 1 else 0)
        if len(rows) == 1 and rows[0] == 2:
            words = np.where(np.arange(16) < moved, words + 1, words)
        return {"scores": scores, "words": words}

    rows = np.arange(64)
    outputs = {"scores": SCORES, "words": WORDS}
    reference.save(tmp_path / "samples.npz", Reference({"row": rows}, outputs, np.full(64, -1)))
    asked = tolerances.drawn(tolerances.INT8)
    found = gate._run(run, tmp_path, asked, None)
    assert found.parity.passed, found.parity.reason
    assert found.served is not None
    assert found.served.minimum_equal == pytest.approx(least)
    assert found.served.atol == pytest.approx(asked.atol + 2 * float(np.ptp(SCORES)) / 255), "a step of it; words count for nothing here"
    other = {"scores": SCORES[:8], "words": np.where(np.arange(16) < 8, WORDS[:8] + 1, WORDS[:8])}
    scores, words = parity.compare("live", {name: values[:8] for name, values in outputs.items()}, other, found.served)
    assert (scores.passed, words.passed) == (True, False)


@pytest.mark.parametrize(("tolerance", "largest"), [(tolerances.FLOAT32, 0.05), (tolerances.FLOAT16, 0.2)], ids=["float32", "float16"])
def test_small_outputs_are_compared_by_their_own_measure(tmp_path: Path, tolerance: Tolerance, largest: float) -> None:
    """Probabilities of many classes are all below the absolute tolerance: an answer of zeros would pass."""
    values = np.random.default_rng(0).dirichlet(np.ones(1000) * 50, 64).astype(np.float32)
    values *= np.float32(tolerance.atol / 10 / values.max())
    reference.save(tmp_path / "samples.npz", Reference({"row": np.arange(64)}, {"p": values}, np.full(64, -1)))

    def passes(off: float) -> bool:
        return gate._run(lambda inputs: {"p": values[inputs["row"]] * np.float32(1 - off)}, tmp_path, tolerance, None).parity.passed

    assert passes(0)
    assert passes(tolerance.atol / 2)
    assert not passes(1)
    assert not passes(largest)


def test_edge_inputs_with_larger_answers_are_judged_by_them(tmp_path: Path) -> None:
    """What is left of large values that cancel has their rounding."""
    tolerance = tolerances.FLOAT32
    values = {"samples": np.full((64, 2), 0.01, np.float32), "edge": np.array([[1, 0], [1, 0]], np.float32)}
    for name, array in values.items():
        rows = np.full(len(array), name == "edge")
        reference.save(tmp_path / f"{name}.npz", Reference({"edge": rows}, {"y": array}, np.full(len(array), -1)))

    def run(inputs: Tensors) -> Tensors:
        edge = bool(inputs["edge"][0])
        return {"y": values["edge" if edge else "samples"][: len(inputs["edge"])] + np.float32(tolerance.atol / 2 if edge else 0)}

    assert gate._run(run, tmp_path, tolerance, None).parity.passed


@pytest.mark.parametrize(
    ("words_moved", "edge_words_moved", "edge_score_off", "passes"),
    [(0, 16, 0.0, True), (0, 0, 1.0, False), (3, 0, 0.0, True), (16, 0, 0.0, False)],
)
def test_in_float16_the_samples_words_count_and_an_edges_values(
    tmp_path: Path, words_moved: int, edge_words_moved: int, edge_score_off: float, passes: bool
) -> None:
    def run(inputs: Tensors) -> Tensors:
        rows, places = inputs["row"], np.arange(16)
        edge = rows[0] == 63
        moved = (places < (edge_words_moved if edge else words_moved)) & ((rows == 63) | (rows == 0))[:, None]
        return {"scores": SCORES[rows] + np.float32(edge_score_off if edge else 0), "words": WORDS[rows] + moved}

    for name, rows in (("samples", np.arange(63)), ("edge", np.full(2, 63))):
        reference.save(
            tmp_path / f"{name}.npz", Reference({"row": rows}, {"scores": SCORES[rows], "words": WORDS[rows]}, np.full(len(rows), -1))
        )
    assert gate._run(run, tmp_path, tolerances.FLOAT16, None).parity.passed == passes
