"""Latency against throughput: a Poisson load at one rate after the other, each a probe, until the server is saturated and one beyond.

The last probe is at the first rate again: does the server recover?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serveoff.results import Measurement, Probe, ProfileChoice

from . import Load, Option, Result, connections, duration
from .poisson import PROFILE as POISSON

_SATURATED = 0.95
"""A server that answers less of what was due than this has reached its limit; below, Poisson noise alone does not get there in a probe."""


class Sweep:
    summary = "one arrival rate after the other, past saturation and back"
    options = (
        Option("start_rps", 50, "requests/s", 0.5, 1_000_000, in_form=False),
        Option("factor", 2, "times", 1.05, 10, in_form=False),
        Option("most", 16, "rates", 2, 200, whole=True, in_form=False),
        connections("connections", 256),
        duration(4),
    )

    def load(self, options: Mapping[str, float]) -> Load:
        """The first probe."""
        return POISSON.load({**options, "rate_rps": options["start_rps"]})

    def next(self, options: Mapping[str, float], probes: Sequence[Probe]) -> ProfileChoice | None:
        saturated = [index for index, probe in enumerate(probes) if probe.measurement is None or _saturated(probe.measurement)]
        rate = options["start_rps"] * options["factor"] ** len(probes)
        if (saturated and len(probes) > saturated[0] + 1) or len(probes) >= options["most"]:
            rate = options["start_rps"]  # the way back
            if probes[-1].profile.options["rate_rps"] == rate:
                return None
        chosen = {"rate_rps": rate, "connections": options["connections"], "duration_s": options["duration_s"]}
        return ProfileChoice(name="poisson", options=chosen)

    def kept(self, options: Mapping[str, float], measurement: Measurement) -> bool | None:  # noqa: ARG002 - a sweep has no objective
        return None

    def result(self, options: Mapping[str, float], probes: Sequence[Probe]) -> Result:  # noqa: ARG002
        """The probe with the highest throughput stands for the row."""
        measured = [index for index, probe in enumerate(probes) if probe.measurement is not None]
        best = max(measured, key=lambda index: _throughput(probes[index]), default=0)
        return Result(best, reasons=() if measured else ("no rate could be measured",))


def _saturated(measurement: Measurement) -> bool:
    due = measurement.requests + measurement.unsent
    return measurement.throughput_rps * measurement.window_s < _SATURATED * due


def _throughput(probe: Probe) -> float:
    return probe.measurement.throughput_rps if probe.measurement else 0.0


PROFILE = Sweep()
