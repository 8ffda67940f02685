"""Exports models of PyTorch, whole and broken, and asks the gate: `child_pytorch.py FOLDER DIGITS_WEIGHTS`. Prints its reasons as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from export import gate, tolerances
from export.formats import pt2, torchscript
from models import weights
from models.frameworks import pytorch
from serveoff import reference
from serveoff.contract import Tolerance
from serveoff.plugins import ExportJob
from serveoff.registry import MODELS

Break = Callable[[dict[str, torch.Tensor]], object]
BROKEN: dict[str, dict[str, Break]] = {
    "digits_cnn": {
        "a layer negated": lambda w: w["conv2.weight"].neg_(),
        "a layer's units shuffled": lambda w: w["dense1.weight"].copy_(w["dense1.weight"].roll(1, 0)),
        "outputs swapped": lambda w: w["logits.weight"].copy_(w["logits.weight"].flip(0)),
        "a NaN": lambda w: w["logits.bias"][3].fill_(float("nan")),
    },
    "bert_tiny@16": {
        "a layer negated": lambda w: w["layer.1.inner.weight"].neg_(),
        "outputs swapped": lambda w: w["classifier.weight"].copy_(w["classifier.weight"].flip(0)),
    },
}


def made(job: ExportJob, kind: Any, references: Path, tolerance: Tolerance) -> str:
    job.directory.mkdir(parents=True)
    said = kind.export(job)["method"]
    return f"{said}: {gate.judge(job.spec, kind.SERVE_FILE, job.directory, references, tolerance).parity.reason}"


def in_bfloat16(name: str, known: dict[str, Any] | None, folder: Path) -> dict[str, str]:
    """By what was done to the model, and by the format in which it was exported."""
    spec = MODELS.load(name)
    inputs, labels = spec.evaluation()
    whole = known or pytorch.initialise(spec, inputs, 0)
    answers = reference.Reference(inputs, pytorch.predict(spec, pytorch.build(spec, whole), inputs), labels)
    reference.save(folder / "answers" / "samples.npz", answers)
    tolerance = tolerances.BFLOAT16 if known else tolerances.drawn(tolerances.BFLOAT16)
    found = {}
    for what, change in {"torchscript": None, **({"pt2": None} if known else {}), **BROKEN[name]}.items():
        model = pytorch.build(spec, whole)
        if change:
            change(model.state_dict())
        job = ExportJob(spec, "pytorch", model, "bfloat16", folder / what, inputs)
        found[what] = made(job, pt2 if what == "pt2" else torchscript, folder / "answers", tolerance)
    return found


def main() -> None:
    folder, digits = map(Path, sys.argv[1:])
    told = {name: in_bfloat16(name, weights.load(digits) if name == "digits_cnn" else None, folder / name) for name in BROKEN}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
