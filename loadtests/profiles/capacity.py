"""The highest arrival rate that keeps a service level, such as p99 <= 50 ms with errors <= 0.1 %: doubling, then bisection, then again.

Every probe is a Poisson load of its own with all validity gates. The result is confirmed: that rate has kept the level twice and never
failed. A probe that stays void ends the search: what the client or the machine cannot do is nothing about the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from serveoff.results import Measurement, Probe, ProfileChoice

from ..objective import within
from . import Load, Option, Result, connections, duration
from .poisson import PROFILE as POISSON

_MOST_PROBES = 40
_SMALLEST_RPS, _LARGEST_RPS = 0.5, 1_000_000
_SAMPLES_ABOVE = 10
"""So many requests must lie above the percentile (DESIGN section 6: 1,000 for a p99): a probe at a low rate lasts longer."""
_LONGEST_S = 60.0


class Capacity:
    summary = "the highest arrival rate that keeps a service level"
    options = (
        Option("slo_ms", 50, "ms", 0.01, 60_000, in_form=False),
        Option("percentile", 99, "%", 50, 99.99, in_form=False),
        Option("errors_percent", 0.1, "%", 0, 100, in_form=False),
        Option("start_rps", 100, "requests/s", 0.5, 1_000_000, in_form=False),
        Option("precision_percent", 5, "%", 0.5, 50, in_form=False),
        connections("connections", 256),
        duration(4),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        """The first probe."""
        return POISSON.load({**options, "rate_rps": options["start_rps"]})

    def next(self, options: Mapping[str, float], probes: Sequence[Probe]) -> ProfileChoice | None:
        if any(probe.kept is None for probe in probes) or len(probes) >= _MOST_PROBES:
            return None
        rate = _next_rate(options, probes)
        if rate is None:
            return None
        enough_s = _SAMPLES_ABOVE / (1 - options["percentile"] / 100) / rate
        chosen = {
            "rate_rps": rate,
            "connections": options["connections"],
            "duration_s": max(options["duration_s"], min(_LONGEST_S, math.ceil(enough_s))),
        }
        return ProfileChoice(name="poisson", options=chosen)

    def kept(self, options: Mapping[str, float], measurement: Measurement) -> bool | None:
        return within(measurement, options["percentile"], options["slo_ms"], options["errors_percent"] / 100)

    def result(self, options: Mapping[str, float], probes: Sequence[Probe]) -> Result:
        good = _kept(probes)
        confirmed = [rate for rate in good if good[rate] >= 2]
        level = f"p{options['percentile']:g} <= {options['slo_ms']:g} ms with errors <= {options['errors_percent']:g} %"
        if not confirmed:
            lowest = min((_rate(probe) for probe in probes), default=0.0)
            why = f"no arrival rate from {lowest:g} requests/s on kept {level} twice"
            return Result(max(range(len(probes)), key=lambda index: -_rate(probes[index])), reasons=(why,))
        best = max(confirmed)
        index = max(index for index, probe in enumerate(probes) if _rate(probe) == best and probe.kept)
        return Result(index, capacity_rps=best)


def _next_rate(options: Mapping[str, float], probes: Sequence[Probe]) -> float | None:
    """None when the search is over."""
    good, failed = _kept(probes), [_rate(probe) for probe in probes if not probe.kept]
    if not probes:
        return options["start_rps"]
    if not failed:
        return _rounded(2 * max(good)) if max(good) < _LARGEST_RPS / 2 else _confirm(good)
    if not good:
        return _rounded(min(failed) / 2) if min(failed) > _SMALLEST_RPS else None
    low, high = max(good), min(failed)
    middle = _rounded(math.sqrt(low * high))
    if high <= low * (1 + options["precision_percent"] / 100) or not low < middle < high:
        return _confirm(good)
    return middle


def _confirm(good: Mapping[float, int]) -> float | None:
    return max(good) if good[max(good)] < 2 else None


def _kept(probes: Sequence[Probe]) -> dict[float, int]:
    """Rate -> how often it kept the level; only rates below the lowest that failed."""
    lowest_failed = min((_rate(probe) for probe in probes if probe.kept is False), default=math.inf)
    rates = [_rate(probe) for probe in probes if probe.kept and _rate(probe) < lowest_failed]
    return {rate: rates.count(rate) for rate in rates}


def _rate(probe: Probe) -> float:
    return probe.profile.options["rate_rps"]


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


PROFILE = Capacity()
