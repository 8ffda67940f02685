"""Draw and answer with many models in one process of one framework: what `models.worker` does for each, without importing it again."""

from __future__ import annotations

import dataclasses
import sys
from types import SimpleNamespace

from models import worker
from serveoff.model_spec import ModelSpec
from serveoff.registry import MODELS

ROWS = 16
"""Enough for batches of 1, 3, 8 and all."""


def with_few_samples(name: str) -> ModelSpec:
    spec: ModelSpec = MODELS.load(name)
    given = spec.samples
    assert given is not None
    return dataclasses.replace(spec, samples=lambda: {tensor: values[:ROWS] for tensor, values in given().items()})


def main() -> None:
    framework, folder, *names = sys.argv[1:]
    if all("@" not in name for name in names):  # full size: 64 pictures would take minutes, and prove no more
        vars(worker)["MODELS"] = SimpleNamespace(load=with_few_samples)
    for name in names:
        arguments = ["--model", name, "--framework", framework, "--first", "pytorch", "--checkpoint", f"{folder}/{name}"]
        sys.argv = ["worker", *arguments, "--curves", f"{folder}/curves", "--epochs", "0", "--seeds", "0"]
        worker.main()


if __name__ == "__main__":
    main()
