"""Weights for models that have no training data here: drawn from a seed, the same whichever framework asks.

Of a realistic scale: answers differ from row to row, so that a comparison of answers can fail.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serveoff.plugins import Array


def draw(like: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Weights with the names and shapes of `like` (float32), in PyTorch's names and axis order.

    Matrices and kernels: He's normal distribution (arXiv:1502.01852), those of LSTMs with twice its variance. Scales: near the build's own.
    Everything else: near 0, but not 0, for a bias left behind must show. What batch norm remembers is still to be measured.
    """
    import numpy as np

    drawn = {}
    for name, value in like.items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        kind = name.rpartition(".")[2]
        if value.ndim > 1:
            gain = 4 if kind.startswith("weight_") else 2
            drawn[name] = rng.standard_normal(value.shape, np.float32) * np.float32(math.sqrt(gain / math.prod(value.shape[1:])))
        elif kind in ("weight", "running_var"):
            drawn[name] = (value * rng.uniform(0.8, 1.2, value.shape)).astype(np.float32)
        else:
            drawn[name] = (0.1 * rng.standard_normal(value.shape)).astype(np.float32)
    return drawn
