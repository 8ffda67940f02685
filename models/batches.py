"""The batches of a training: the same rows in the same order in every framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serveoff.plugins import Array

BATCH_SIZE = 64
LEARNING_RATE = 1e-3


def epochs(rows: int, count: int, seed: int) -> Iterator[Array]:
    """`count` permutations of the row numbers (int64, [rows])."""
    import numpy as np

    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield generator.permutation(rows)
