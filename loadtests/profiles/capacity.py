"""The highest arrival rate that keeps a service level, such as p99 <= 50 ms with errors <= 0.1 %: doubling, then bisection, then again.

Every probe is a Poisson load of its own with all validity gates; only a VALID one keeps the level. One probe that fails may be a hiccup, so
it is repeated: a rate is broken once two probes at it have failed, and the result is confirmed by two that kept the level. So at most three
probes are at one rate. What the client or the machine cannot do is nothing about the server: a rate whose probe stays void bounds
the search, but never the capacity. Where that is the only bound above, nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from serveoff.results import Measurement, Probe, ProfileChoice

from ..objective import within
from ..validity import FEWEST_REPLIES, LARGEST_ERROR_SHARE
from . import Load, Option, Result, connections, duration
from .poisson import PROFILE as POISSON

_MOST_PROBES = 60
"""A server that answers alike each time needs fewer: at most 21 halvings, or doublings, span all rates, 8 bisections reach the finest
precision, each failing rate takes two probes, and one confirms. Only a moody one ends here, without a result. Attempts that were void come
on top."""
_SMALLEST_RPS, _LARGEST_RPS = 0.5, 1_000_000
_SAMPLES_ABOVE = 10
"""So many requests must lie above the percentile (DESIGN section 6: 1,000 for a p99): a probe at a low rate lasts longer."""
_LONGEST_S = 60.0


class Capacity:
    summary = "the highest arrival rate that keeps a service level"
    options = (
        Option("slo_ms", 50, "ms", 0.01, 60_000, in_form=False),
        Option("percentile", 99, "%", 50, 99.99, in_form=False),
        Option("errors_percent", 0.1, "%", 0, 100 * LARGEST_ERROR_SHARE, in_form=False),  # with more no probe is VALID
        Option("start_rps", 100, "requests/s", 0.5, 1_000_000, in_form=False),
        Option("precision_percent", 5, "%", 0.5, 50, in_form=False),
        connections("connections", 256),
        duration(4),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        """The first probe."""
        return POISSON.load({**options, "rate_rps": options["start_rps"]})

    def next(self, options: Mapping[str, float], probes: Sequence[Probe]) -> ProfileChoice | None:
        rate = _next_rate(options, probes) if len(probes) < _MOST_PROBES else None
        if rate is None:
            return None
        enough = max(_SAMPLES_ABOVE / (1 - options["percentile"] / 100), 2 * FEWEST_REPLIES)  # twice: arrivals scatter
        chosen = {
            "rate_rps": rate,
            "connections": options["connections"],
            "duration_s": max(options["duration_s"], min(_LONGEST_S, math.ceil(enough / rate))),
        }
        return ProfileChoice(name="poisson", options=chosen)

    def kept(self, options: Mapping[str, float], measurement: Measurement) -> bool | None:
        return within(measurement, options["percentile"], options["slo_ms"], options["errors_percent"] / 100)

    def result(self, options: Mapping[str, float], probes: Sequence[Probe]) -> Result:
        """A capacity, or the void probe that is the bound, or why there is neither."""
        tries, bound = _tries(probes), _bound(probes)
        void = [index for index, probe in enumerate(probes) if _rate(probe) == bound and probe.kept is None]
        if void:
            return Result(void[0])
        confirmed = [rate for rate in tries if rate < bound and _good(tries[rate]) >= 2]
        if not confirmed:
            lowest = min(tries)
            level = f"p{options['percentile']:g} <= {options['slo_ms']:g} ms with errors <= {options['errors_percent']:g} %"
            why = f"no arrival rate from {lowest:g} requests/s on kept {level} twice"
            why += f" in {len(probes)} probes" if len(probes) >= _MOST_PROBES else ""
            return Result(next(index for index, probe in enumerate(probes) if _rate(probe) == lowest), reasons=(why,))
        best = max(confirmed)
        index = max(index for index, probe in enumerate(probes) if _rate(probe) == best and _keeps(probe))
        return Result(index, capacity_rps=best)


def _next_rate(options: Mapping[str, float], probes: Sequence[Probe]) -> float | None:
    """None when the search is over."""
    if not probes:
        return options["start_rps"]
    tries, bound, last = _tries(probes), _bound(probes), probes[-1]
    if not _keeps(last) and not _closed(tries[_rate(last)]):
        return _rate(last)  # was it a hiccup?
    good = [rate for rate in tries if rate < bound]
    if not good:
        void = any(probe.kept is None for probe in tries[bound])
        return _rounded(bound / 2) if bound > _SMALLEST_RPS and not void else None
    low = max(good)
    if bound == math.inf:
        further = _rounded(2 * low) if low < _LARGEST_RPS / 2 else None
    else:
        middle = _rounded(math.sqrt(low * bound))
        further = middle if bound > low * (1 + options["precision_percent"] / 100) and low < middle < bound else None
    if further is not None:
        return further
    return low if _good(tries[low]) < 2 else None


def _tries(probes: Sequence[Probe]) -> dict[float, list[Probe]]:
    """Each rate's probes."""
    return {rate: [probe for probe in probes if _rate(probe) == rate] for rate in map(_rate, probes)}


def _bound(probes: Sequence[Probe]) -> float:
    """The lowest rate that was broken, or could not be measured."""
    return min((rate for rate, tried in _tries(probes).items() if _closed(tried)), default=math.inf)


def _closed(tried: Sequence[Probe]) -> bool:
    return any(probe.kept is None for probe in tried) or len(tried) - _good(tried) >= 2


def _good(tried: Sequence[Probe]) -> int:
    return sum(map(_keeps, tried))


def _keeps(probe: Probe) -> bool:
    return probe.kept is True and probe.verdict == "VALID"


def _rate(probe: Probe) -> float:
    return probe.profile.options["rate_rps"]


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")


PROFILE = Capacity()
