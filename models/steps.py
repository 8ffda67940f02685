"""One training step's data: the same synthetic batch, labels and options in every framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from serveoff.training import Device, Unit

from .batches import LEARNING_RATE

if TYPE_CHECKING:
    from serveoff.plugins import Array, ModelSpec, Tensors

KerasJit = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the frameworks run a step. `keras_jit`: XLA; auto is what Keras chooses."""

    device: Device = "cpu"
    torch_compile: bool = False
    keras_jit: KerasJit = "auto"


@dataclass(frozen=True, slots=True)
class Step:
    """The loss is on the first output: cross-entropy over its last axis (labels: int64, its shape without that axis); for a single score,
    binary cross-entropy (labels: float32, its shape)."""

    spec: ModelSpec
    inputs: Tensors
    labels: Array
    binary: bool
    options: Options
    learning_rate: float = LEARNING_RATE


def unit_of(spec: ModelSpec) -> tuple[Unit, int]:
    """What is counted, and how many of it a row has."""
    scores, given = spec.outputs[0], spec.inputs[0]
    if len(scores.shape) > 2:
        return "tokens", math.prod(n for n in scores.shape[1:-1] if n)
    return ("images" if given.dtype == "float32" and len(given.shape) > 2 else "samples"), 1


def step_of(spec: ModelSpec, batch: int, seed: int, options: Options) -> Step:
    """`batch` rows of the model's samples, drawn with the seed, and drawn labels."""
    import numpy as np

    rng, scores = np.random.default_rng(seed), spec.outputs[0]
    samples, _ = spec.evaluation()
    rows = rng.integers(0, len(next(iter(samples.values()))), batch)
    *shape, classes = (n or batch for n in scores.shape)
    binary = classes == 1
    labels = rng.integers(0, 2, (batch, 1)).astype(np.float32) if binary else rng.integers(0, classes, shape)
    return Step(spec, {name: np.ascontiguousarray(value[rows]) for name, value in samples.items()}, labels, binary, options)
