"""Logarithmic buckets for the live view: bounded memory, an error below 1 %. The measurement itself comes from the raw records."""

from __future__ import annotations

import math

_STEP = 1.015
_SCALE = 1 / math.log(_STEP)
_MIDDLES: dict[int, float] = {}


def bucket(response_time_ms: float) -> float:
    """The middle of a logarithmic bucket, within 1 % of the value; below 1 us it is 1 us. Milliseconds in and out."""
    number = math.ceil(math.log(max(response_time_ms, 0.001)) * _SCALE)
    middle = _MIDDLES.get(number)
    if middle is None:
        middle = _MIDDLES[number] = float(f"{_STEP**number * (1 + 1 / _STEP) / 2:.4g}")
    return middle
