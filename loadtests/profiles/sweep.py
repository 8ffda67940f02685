"""Latency against throughput: a Poisson load at one rate after the other, each a probe, until the server is saturated and one beyond.

The last probe is at the first rate again: does the server recover? A probe that stays void ends the way up: beyond it the client or the
machine would be measured. The row then says so, and stands on what was VALID until there.
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
        saturated = [index for index, probe in enumerate(probes) if probe.kept is False]
        void = any(probe.kept is None for probe in probes)
        rate = options["start_rps"] * options["factor"] ** len(probes)
        if void or (saturated and len(probes) > saturated[0] + 1) or len(probes) >= options["most"]:
            rate = options["start_rps"]  # the way back
            if probes[-1].profile.options["rate_rps"] == rate:
                return None
        chosen = {"rate_rps": rate, "connections": options["connections"], "duration_s": options["duration_s"]}
        return ProfileChoice(name="poisson", options=chosen)

    def kept(self, options: Mapping[str, float], measurement: Measurement) -> bool | None:  # noqa: ARG002 - it has no options of its own
        """Whether the server kept up with the rate."""
        return not _saturated(measurement)

    def result(self, options: Mapping[str, float], probes: Sequence[Probe]) -> Result:  # noqa: ARG002
        """The VALID probe with the highest throughput stands for the row; where none is VALID the best of the others, with its reasons."""
        measured = [index for index, probe in enumerate(probes) if probe.measurement is not None]
        best = max(measured, key=lambda index: (probes[index].verdict == "VALID", _throughput(probes[index])), default=0)
        way_up = probes[:-1] if len(probes) > 1 else probes  # the last is the way back
        end = next((index for index, probe in enumerate(way_up) if not probe.kept), None)
        stopped = end if end is not None and probes[end].kept is None else None
        return Result(best, reasons=() if measured else ("no rate could be measured",), stopped=stopped)


def _saturated(measurement: Measurement) -> bool:
    due = measurement.requests + measurement.unsent
    return measurement.throughput_rps * measurement.window_s < _SATURATED * due


def _throughput(probe: Probe) -> float:
    return probe.measurement.throughput_rps if probe.measurement else 0.0


PROFILE = Sweep()
