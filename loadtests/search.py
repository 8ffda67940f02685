"""A profile that chooses its next load by what it has seen: one probe after the other, each measured as any cell is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from serveoff.results import Measurement, Probe, ProfileChoice

from .profiles import Search
from .rounds import ATTEMPTS


@dataclass(frozen=True, slots=True)
class Seen:
    """One measured load. `faults` are the target's, `disturbances` came from around it; no reason at all: the measurement is VALID."""

    measurement: Measurement | None
    faults: tuple[str, ...] = ()
    disturbances: tuple[str, ...] = ()
    reply_bytes: int = 0
    fatal: bool = False
    """The target died or answered wrongly: nothing that comes after would mean anything."""
    too_fast: tuple[str, ...] = ()
    """The rate is beyond the client: no fault of the target's, and the same the next time."""

    @property
    def repeat(self) -> bool:
        """Whether another attempt may do better."""
        return bool(self.disturbances) and not self.too_fast and not self.fatal

    @property
    def void(self) -> bool:
        """Whether it says nothing about the target, good or bad."""
        return self.measurement is None or bool(self.disturbances or self.too_fast)

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*self.faults, *self.too_fast, *self.disturbances)


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended; `seen` is what stands for it in the row."""

    seen: Seen
    probes: tuple[Probe, ...]
    capacity_rps: float | None = None


def search(profile: Search, choice: ProfileChoice, measure: Callable[[ProfileChoice, str], Seen]) -> Found:
    """Run the probes that the profile asks for. `measure` gets each one's load and a name for its files.

    A void probe is repeated as a void round is; only the last attempt counts for the search. The row takes over what speaks against the
    probe that stands for it, and against the void one that ended the search.
    """
    counted: list[Probe] = []
    everything: list[Probe] = []
    last = Seen(None)
    seen_of: list[Seen] = []
    while (load := profile.next(choice.options, counted)) is not None:
        for _ in range(ATTEMPTS):
            last = measure(load, f"probe{len(everything) + 1}")
            probe = _probe(profile, choice, load, last)
            everything.append(probe)
            if not last.repeat:
                break
        counted.append(probe)
        seen_of.append(last)
        if last.fatal:
            return Found(last, tuple(everything))
    ended = profile.result(choice.options, counted)
    against = [_placed(counted[index], seen_of[index]) for index in dict.fromkeys((ended.index, ended.stopped)) if index is not None]
    stands = replace(
        seen_of[ended.index],
        faults=(*ended.reasons, *(why for seen in against for why in seen.faults)),
        too_fast=tuple(why for seen in against for why in seen.too_fast),
        disturbances=tuple(why for seen in against for why in seen.disturbances),
    )
    return Found(stands, tuple(everything), ended.capacity_rps)


def _placed(probe: Probe, seen: Seen) -> Seen:
    """Its reasons say at which of the search's rates."""

    def at(reasons: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"at {probe.profile.options['rate_rps']:g} requests/s {why}" for why in reasons)

    return replace(seen, faults=at(seen.faults), too_fast=at(seen.too_fast), disturbances=at(seen.disturbances))


def _probe(profile: Search, choice: ProfileChoice, load: ProfileChoice, seen: Seen) -> Probe:
    kept = None
    if seen.measurement is not None and not seen.void:
        kept = profile.kept(choice.options, seen.measurement)
    return Probe(
        profile=load, measurement=seen.measurement, verdict="INVALID" if seen.reasons else "VALID", reasons=seen.reasons, kept=kept
    )
