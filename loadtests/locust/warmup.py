"""The warm-up ends when the figures are steady, not after a guess; and it ends in any case."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from . import clock
from .recorder import Recorder

_SLICE_S = 0.25
_SLICES = 3
_LARGEST_SPREAD = 1.1
"""Three slices in a row whose largest figure is at most 10 % above the smallest: the rule of perf_analyzer
(src/inference_profiler.cc, `DetermineStability`)."""


def warm_up(recorder: Recorder, least_s: float, most_s: float, *, open_loop: bool) -> bool:
    """Wait until the figures are steady, at least and at most so long. Whether they are."""
    start_ns = clock.now_ns()
    slices: list[list[int]] = []
    while (passed_s := (clock.now_ns() - start_ns) / 1e9) < most_s:
        if passed_s >= least_s and steady(slices[-_SLICES:], open_loop=open_loop):
            return True
        began_ns = clock.now_ns()
        clock.sleep(min(_SLICE_S, most_s - passed_s, least_s - passed_s if passed_s < least_s else _SLICE_S))
        if clock.now_ns() - began_ns >= 0.9e9 * _SLICE_S:
            slices.append(recorder.good_since(began_ns))
    return steady(slices[-_SLICES:], open_loop=open_loop)


def steady(slices: Sequence[Sequence[int]], *, open_loop: bool) -> bool:
    """Whether the median latencies of these equally long slices agree; in a closed loop, where the server sets the pace, the counts too."""
    if len(slices) < _SLICES or not all(slices):
        return False
    figures = [[statistics.median(part) for part in slices]]
    if not open_loop:
        figures.append([float(len(part)) for part in slices])
    return all(max(values) <= _LARGEST_SPREAD * min(values) for values in figures)
