"""After a sweep has saturated a server it loads it as in the beginning: is it as fast as it was?"""

from __future__ import annotations

from serveoff.results import Cell, Probe

from . import wording
from .percentiles import P50, P99, decode, estimate


def recovery(cell: Cell) -> str:
    """The first and the last step of a sweep, in words; nothing of any other row, or where one of the two was not measured."""
    if cell.profile.name != "sweep" or len(cell.probes) < 2:
        return ""
    first, last = cell.probes[0], cell.probes[-1]
    if first.profile != last.profile or first.measurement is None or last.measurement is None:
        return ""
    return f"after saturation, again at {wording.profile(last.profile, everything=False)}: {_latency(last)}; before: {_latency(first)}"


def _latency(probe: Probe) -> str:
    assert probe.measurement is not None
    latency = decode(probe.measurement.latency_hdr)
    figures = ((name, estimate(latency, quantile, probe.measurement.unsent)) for name, quantile in (("p50", P50), ("p99", P99)))
    told = [f"{name} {wording.milliseconds(found.value_us)} ms" for name, found in figures if found is not None]
    return ", ".join(told) + ("" if probe.verdict == "VALID" else " (INVALID)") if told else "no reply"
