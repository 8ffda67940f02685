"""Exports models of PyTorch, whole and broken, and asks the gate: `child_pytorch.py FOLDER DIGITS_WEIGHTS`. Prints its reasons as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export import gate, tolerances
from export.formats import pt2, torchscript
from models import weights
from models.frameworks import pytorch
from serveoff import reference
from serveoff.contract import TensorSpec, Tolerance
from serveoff.plugins import ExportJob, ModelSpec, Tensors
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


class Limited(torch.nn.Module):
    """The rows are independent of each other, and yet a trace of small numbers forgets the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x > 2).any()):
            x = x.clamp(max=2)
        result: torch.Tensor = self.layer(x)
        return result


class Unscriptable(Limited):
    def forward(self, x: torch.Tensor, **_options: object) -> torch.Tensor:
        return super().forward(x)


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


def with_an_if(folder: Path) -> dict[str, str]:
    """Large numbers come after the two rows that are traced."""
    inputs: Tensors = {"x": np.linspace(-1, 4, 64, dtype=np.float32).repeat(4).reshape(64, 4)}
    x, y = (TensorSpec(name=name, dtype="float32", shape=(None, size)) for name, size in (("x", 4), ("y", 3)))
    spec = ModelSpec(summary="", inputs=(x,), outputs=(y,), builds={}, edge_inputs=dict, samples=lambda: inputs)
    found = {}
    for case, model, precision in (
        ("script", Limited(), "float32"),
        ("script, bfloat16", Limited(), "bfloat16"),
        ("trace", Unscriptable(), "float32"),
    ):
        answers = reference.Reference(inputs, pytorch.predict(spec, model.eval(), inputs), np.full(64, -1))
        reference.save(folder / case / "samples.npz", answers)
        tolerance = torchscript.PRECISIONS[precision]
        with contextlib.redirect_stderr(io.StringIO()) as log:
            job = ExportJob(spec, "pytorch", model, precision, folder / case / "made", inputs)
            found[case] = made(job, torchscript, folder / case, tolerance)
        found[f"{case}, log"] = log.getvalue()
    return found


def main() -> None:
    folder, digits = map(Path, sys.argv[1:])
    torch.manual_seed(0)
    told = {name: in_bfloat16(name, weights.load(digits) if name == "digits_cnn" else None, folder / name) for name in BROKEN}
    sys.stdout.write(json.dumps(told | {"an if": with_an_if(folder / "if")}) + "\n")


if __name__ == "__main__":
    main()
