"""One framework's share of a training, in a process of its own: train from each seed, then answer the samples with the twins' weights.

Prints one line `@epoch NUMBER ACCURACY` an epoch, numbered through all seeds: the parent shows the progress.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from serveoff import reference
from serveoff.errors import ServeoffError
from serveoff.plugins import ModelSpec, Tensors
from serveoff.registry import MODELS, load_module

from . import failure, pretrained
from . import weights as weight_files
from .training import Progress, Training, initial_weights


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--framework", required=True)
    parser.add_argument("--first", required=True, help="the framework that makes the initial weights, and whose result is the twins'")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--curves", type=Path, required=True, help="where TensorBoard's event files go")
    parser.add_argument("--epochs", type=int, required=True, help="0: do not train, only answer the samples")
    parser.add_argument("--weights", type=Path, help="the first framework takes these, and neither trains nor draws any")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="the first one's result is the twins'")
    args = parser.parse_args()
    spec = MODELS.load(args.model)
    try:
        framework = load_module(f"models.frameworks.{args.framework}")
        if args.weights:
            if args.framework == args.first:
                weight_files.save(args.checkpoint / "weights.safetensors", pretrained.load(spec, framework.read, args.weights))
        elif args.epochs:
            _train(spec, args)
        elif spec.dataset is None and args.framework == args.first:
            samples, _ = spec.evaluation()
            weight_files.save(args.checkpoint / "weights.safetensors", framework.initialise(spec, samples, args.seeds[0]))
        _answer(spec, framework, args)
    except ServeoffError as error:
        failure.tell(error)
        sys.exit(error.exit_code)


def _train(spec: ModelSpec, args: argparse.Namespace) -> None:
    trainers = load_module(f"models.trainers.{args.framework}")
    training = Training(args.model, args.framework, spec, trainers, args.checkpoint, args.curves)
    for number, seed in enumerate(args.seeds):
        start = initial_weights(args.checkpoint, seed)
        if args.framework == args.first and not start.exists():
            weight_files.save(start, trainers.initial(spec, seed))

        def on_epoch(progress: Progress, before: int = number * args.epochs) -> None:
            print(f"@epoch {before + progress.epochs} {progress.validation_curve[-1]:.4f}", flush=True)  # noqa: T201 - the parent reads it

        training.run(seed, args.epochs, args.first, on_epoch)
    if args.framework == args.first:
        trained = weight_files.load(args.checkpoint / f"weights-{args.framework}-{args.seeds[0]}.safetensors")
        weight_files.save(args.checkpoint / "weights.safetensors", trained)


def _answer(spec: ModelSpec, framework: Any, args: argparse.Namespace) -> None:
    """Write reference-FRAMEWORK/CASE.npz: the source model's answers to the samples and to each edge input."""
    import numpy as np

    model = framework.build(spec, weight_files.load(args.checkpoint / "weights.safetensors"))
    folder = args.checkpoint / f"reference-{args.framework}"
    cases: dict[str, tuple[Tensors, Any]] = {"samples": spec.evaluation()}
    for name, inputs in spec.edge_inputs().items():
        rows = len(next(iter(inputs.values())))
        cases[re.sub(r"\W+", "-", name)] = (inputs, np.full(rows, -1))
    for name, (inputs, labels) in cases.items():
        answers = framework.predict(spec, model, inputs)
        reference.save(folder / f"{name}.npz", reference.Reference(inputs=inputs, outputs=answers, labels=labels))


if __name__ == "__main__":
    main()
