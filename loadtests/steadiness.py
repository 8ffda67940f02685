"""Did the target stay as fast as it was? Between the first and the last third of a window, by a test that needs no distribution.

Each third is cut into bins. It is called unsteady when every bin of one third is slower than every bin of the other, and their medians
differ by more than 10 %: noise from bin to bin cannot do the first (chance 2 of 924 for bins that are exchangeable), and what is below
10 % does not matter (perf_analyzer's limit between windows).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .handover import Facts
from .measure import Records

if TYPE_CHECKING:
    from serveoff.plugins import Array

BINS_PER_THIRD = 6
LARGEST_CHANGE = 0.1
FEWEST_PER_BIN = 10
"""A median of fewer says little: the test then says nothing."""


def drift(raw: Records, facts: Facts) -> str | None:
    """How the latency (open loop) or the throughput (closed loop) changed during the window, in words; None when it was steady."""
    good = raw.where((raw.due_ns >= facts.window_start_ns) & (raw.due_ns < facts.window_end_ns) & (raw.outcome == 0))
    bins = _bins(good, facts)
    if min(len(part) for part in bins) < FEWEST_PER_BIN:
        return None
    if facts.open_loop:
        return _change([statistics.median(part.tolist()) for part in bins], "median latency")
    return _change([float(len(part)) for part in bins], "throughput")


def _bins(good: Records, facts: Facts) -> list[Array]:
    count, width_ns = 3 * BINS_PER_THIRD, (facts.window_end_ns - facts.window_start_ns) / (3 * BINS_PER_THIRD)
    number = ((good.due_ns - facts.window_start_ns) / width_ns).astype(int)
    return [(good.done_ns - good.due_ns)[number == index] for index in range(count)]


def _change(figures: Sequence[float], what: str) -> str | None:
    first, last = figures[:BINS_PER_THIRD], figures[-BINS_PER_THIRD:]
    change = statistics.median(last) / statistics.median(first) - 1
    apart = max(first) < min(last) or max(last) < min(first)
    if not apart or abs(change) <= LARGEST_CHANGE:
        return None
    return f"not steady: the {what} changed by {change:+.0%} from the first to the last third of the window"
