"""What a server's answers may differ from a quantised artifact's own: values by their spread, words by how many the batch size moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export import gate, tolerances
from serveoff import parity, reference
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
