"""One framework's share of a training, in a process of its own: train, then answer the samples with the canonical weights.

Prints one line `@epoch NUMBER ACCURACY` an epoch: the parent shows the progress.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any, cast

from serveoff import artifacts, host, parity, reference, storage
from serveoff.contract import Framework, TrainingRecord
from serveoff.plugins import ModelSpec, Tensors
from serveoff.registry import MODELS, load_module

from . import weights as weight_files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--framework", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True, help="0: do not train, only answer the samples")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--canonical", action="store_true", help="these weights become the twins'")
    args = parser.parse_args()
    spec = MODELS.load(args.model)
    framework = load_module(f"models.frameworks.{args.framework}")
    if args.epochs:
        _train(spec, framework, args)
    _answer(spec, framework, args)


def _train(spec: ModelSpec, framework: Any, args: argparse.Namespace) -> None:
    data, curve = spec.dataset(), list[float]()

    def on_epoch(scores: Any) -> None:
        curve.append(parity.accuracy(data.eval_labels, scores(data.eval_inputs)))
        print(f"@epoch {len(curve)} {curve[-1]:.4f}", flush=True)  # noqa: T201 - the parent reads it

    started = time.monotonic()
    weights = framework.train(spec, data, args.epochs, args.seed, on_epoch)
    seconds = time.monotonic() - started
    path = args.checkpoint / f"weights-{args.framework}.safetensors"
    weight_files.save(path, weights)
    if args.canonical:
        weight_files.save(args.checkpoint / "weights.safetensors", weights)
    record = TrainingRecord(
        model=args.model,
        framework=cast("Framework", args.framework),
        epochs=args.epochs,
        seed=args.seed,
        seconds=seconds,
        parameters=sum(int(value.size) for value in weights.values()),
        metric="accuracy",
        validation_curve=tuple(curve),
        weights_sha256=artifacts.digest(path),
        host=host.facts(),
    )
    storage.write(args.checkpoint / f"training-{args.framework}.json", record)


def _answer(spec: ModelSpec, framework: Any, args: argparse.Namespace) -> None:
    """Write reference-FRAMEWORK/CASE.npz: the source model's answers to the samples and to each edge input."""
    import numpy as np

    model = framework.build(spec, weight_files.load(args.checkpoint / "weights.safetensors"))
    data = spec.dataset()
    folder = args.checkpoint / f"reference-{args.framework}"
    cases: dict[str, tuple[Tensors, Any]] = {"samples": (data.eval_inputs, data.eval_labels)}
    for name, inputs in spec.edge_inputs().items():
        rows = len(next(iter(inputs.values())))
        cases[re.sub(r"\W+", "-", name)] = (inputs, np.full(rows, -1))
    for name, (inputs, labels) in cases.items():
        answers = framework.predict(spec, model, inputs)
        reference.save(folder / f"{name}.npz", reference.Reference(inputs=inputs, outputs=answers, labels=labels))


if __name__ == "__main__":
    main()
