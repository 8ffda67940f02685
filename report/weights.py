"""Which rows have the same weights: rows of different weights compare checkpoints, not formats and servers."""

from __future__ import annotations

from collections import defaultdict

from serveoff.results import RunResult
from serveoff.training import TrainingRecord, TwinProof

from . import wording


def of_rows(result: RunResult) -> dict[str, set[str]]:
    """Model -> the digests of the weights that its rows were exported from."""
    found: dict[str, set[str]] = defaultdict(set)
    for cell in result.cells:
        found[cell.manifest.model].add(cell.manifest.weights_sha256)
    return found


def mixed(result: RunResult, model: str) -> str:
    """Why rows of this model cannot be compared, in a sentence; empty when they and their twin proof have the same weights."""
    served = of_rows(result)[model]
    proofs = [proof for proof in result.twins if proof.model == model]
    proven = {proof.weights_sha256 for proof in proofs if not proof.unproved}
    unproved = next((proof.unproved for proof in proofs if proof.unproved), "")
    if len(served) > 1 and unproved:
        return f"{wording.clean(model)} compares checkpoints, so its rows support no claim: {wording.clean(unproved)}."
    if len(served) > 1:
        what = f"were exported from {len(served)} different sets of weights"
    elif proven - served:
        what = "were exported from other weights than its twin proof is about"
    else:
        return ""
    return (
        f"{wording.clean(model)} compares checkpoints: its rows {what}, so they support no claim; "
        "`serveoff export` and `serveoff serve` make them alike."
    )


def twins(result: RunResult) -> list[TwinProof]:
    """The proofs that are about the rows' weights."""
    served = of_rows(result)
    return [proof for proof in result.twins if proof.weights_sha256 in served[proof.model] or (proof.unproved and served[proof.model])]


def training(result: RunResult) -> list[TrainingRecord]:
    """The records of the models whose weights the rows have; of twins, both frameworks', though only one's weights were exported."""
    served = of_rows(result)
    known = {proof.model for proof in twins(result)} | {r.model for r in result.training if r.weights_sha256 in served[r.model]}
    return [record for record in result.training if record.model in known]
