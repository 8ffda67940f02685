"""A profile that chooses its next load by what it has seen: one probe after the other, each measured as any cell is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serveoff.results import Measurement, Probe, ProfileChoice

from .profiles import Search
from .rounds import ATTEMPTS


@dataclass(frozen=True, slots=True)
class Seen:
    """One measured load. `faults` are the target's, `disturbances` came from around it; neither: the measurement is VALID."""

    measurement: Measurement | None
    faults: tuple[str, ...] = ()
    disturbances: tuple[str, ...] = ()
    reply_bytes: int = 0
    fatal: bool = False
    """The target died or answered wrongly: nothing that comes after would mean anything."""

    @property
    def repeat(self) -> bool:
        """Whether another attempt may do better."""
        return bool(self.disturbances) and not self.fatal

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*self.faults, *self.disturbances)


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended; `seen` is what stands for it in the row."""

    seen: Seen
    probes: tuple[Probe, ...]
    capacity_rps: float | None = None


def search(profile: Search, choice: ProfileChoice, measure: Callable[[ProfileChoice, str], Seen]) -> Found:
    """Run the probes that the profile asks for. `measure` gets each one's load and a name for its files.

    A void probe is repeated as a void round is; only the last attempt counts for the search.
    """
    counted: list[Probe] = []
    everything: list[Probe] = []
    last = Seen(None)
    sizes: list[Seen] = []
    while (load := profile.next(choice.options, counted)) is not None:
        for _ in range(ATTEMPTS):
            last = measure(load, f"probe{len(everything) + 1}")
            probe = _probe(profile, choice, load, last)
            everything.append(probe)
            if not last.repeat:
                break
        counted.append(probe)
        sizes.append(last)
        if last.fatal:
            return Found(last, tuple(everything))
    ended = profile.result(choice.options, counted)
    chosen = sizes[ended.index]
    if ended.capacity_rps is None and last.disturbances:  # void to the end
        where = f"at {counted[-1].profile.options['rate_rps']:g} requests/s "
        return Found(Seen(last.measurement, disturbances=tuple(where + why for why in last.disturbances)), tuple(everything))
    return Found(Seen(chosen.measurement, ended.reasons, (), chosen.reply_bytes), tuple(everything), ended.capacity_rps)


def _probe(profile: Search, choice: ProfileChoice, load: ProfileChoice, seen: Seen) -> Probe:
    kept = None
    if seen.measurement is not None and not seen.disturbances:
        kept = profile.kept(choice.options, seen.measurement)
    return Probe(
        profile=load, measurement=seen.measurement, verdict="INVALID" if seen.reasons else "VALID", reasons=seen.reasons, kept=kept
    )
