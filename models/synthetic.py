"""Inputs for models without a data set here: seeded, different from row to row, and of the kind that the model would meet.

None is the same twice, so that no cache can answer for the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

ROWS = 64
LARGE_SIDE, LARGE_ROWS = 160, 32
"""Of pictures as large as this there are fewer: with 224 pixels a side one takes ResNet-50 a tenth of a second, in each format anew."""
SEED = 20_241
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue on a scale of 0 to 1: what models trained on it expect to be taken off and divided by."""
PAD = 0


def images(side: int, rows: int = 0, seed: int = SEED) -> Array:
    """Pictures of smooth colour, edges and noise: 8-bit, then normalised as ImageNet's (float32, [rows, side, side, 3])."""
    import numpy as np

    rows = rows or (ROWS if side < LARGE_SIDE else LARGE_ROWS)
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    pictures = np.empty((rows, side, side, 3), np.uint8)
    for picture in pictures:
        waves = rng.uniform(-12, 12, (4, 2))
        turns = rng.uniform(0, 6.3, 4)
        light = np.stack([np.cos(a * down + b * across + turn) for (a, b), turn in zip(waves, turns, strict=True)], -1)
        canvas = 128 + 30 * light @ rng.normal(size=(4, 3))
        for top, left, height, width in rng.uniform(0, 0.7, (5, 4)):
            inside = (abs(down - top) < height / 2) & (abs(across - left) < width / 2)
            canvas[inside] = rng.uniform(0, 255, 3)
        picture[:] = np.clip(canvas + rng.normal(scale=6, size=canvas.shape), 0, 255)
    return normalised(pictures)


def normalised(pictures: Array) -> Array:
    """8-bit pictures as ImageNet's models want them (float32)."""
    import numpy as np

    return ((pictures / np.float32(255) - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)).astype(np.float32)


def edge_images(side: int) -> dict[str, Tensors]:
    """The darkest and the brightest picture, pure noise, and values that no picture has."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    return {
        "all black": {"image": normalised(np.zeros((1, side, side, 3), np.uint8))},
        "all white": {"image": normalised(np.full((2, side, side, 3), 255, np.uint8))},
        "noise": {"image": normalised(rng.integers(0, 256, (5, side, side, 3), np.uint8))},
        "out of range": {"image": np.full((2, side, side, 3), -5, np.float32)},
    }


def skewed(count: int, rows: int = ROWS, seed: int = SEED) -> Array:
    """Ids below `count` (int64, [rows]), some of them far more often than others, as users and things on sale are."""
    import numpy as np

    return (count * np.random.default_rng(seed).random(rows) ** 4).astype(np.int64)


def sentences(vocabulary: int, first: int, length: int, rows: int = ROWS, seed: int = SEED) -> tuple[Array, Array]:
    """Words from `first` on, padded with `PAD` (int64, [rows, length]), and how many words each row has (int64, [rows])."""
    import numpy as np

    rng = np.random.default_rng(seed)
    lengths = rng.integers(min(3, length), length + 1, rows)
    words = first + skewed(vocabulary - first, rows * length, seed).reshape(rows, length)
    return np.where(np.arange(length) < lengths[:, None], words, PAD), lengths
