"""The contract of a load profile: one file = one profile = one attribute PROFILE, its options beside it.

A profile says when requests are due; how they are sent and recorded is the business of `loadtests.locust`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol, runtime_checkable

from serveoff.errors import UsageError
from serveoff.registry import PROFILES, suggestion
from serveoff.results import Measurement, Probe, ProfileChoice


@dataclass(frozen=True, slots=True)
class Option:
    """One number that a profile takes. `in_form` is False where Locust's own start form already asks for it."""

    name: str
    default: float
    unit: str
    minimum: float
    maximum: float
    whole: bool = False
    in_form: bool = True


@dataclass(frozen=True, slots=True)
class Load:
    """A profile with its options filled in.

    `arrivals(rng)` yields, without end and never decreasing, the seconds after the start of the window at which a request is due; None is
    a closed loop: each connection sends again as soon as it has its reply. At most `connections` requests are in flight.
    `duration_s` is the measured window; the warm-up comes before it, and follows the same arrivals from their beginning.
    `steady`: whether the figures are meant to stay the same during the window.
    """

    connections: int
    duration_s: float
    arrivals: Callable[[random.Random], Iterator[float]] | None = None
    steady: bool = True


class Profile(Protocol):
    """What a profile's file holds as PROFILE."""

    summary: str
    options: tuple[Option, ...]

    def load(self, options: Mapping[str, float]) -> Load:
        """`options` holds every option of the profile, checked."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """How a search ended: the probe that stands for it, and what speaks against it beside that probe's own reasons."""

    index: int
    reasons: tuple[str, ...] = ()
    capacity_rps: float | None = None
    stopped: int | None = None
    """The void probe that ended it too early."""


@runtime_checkable
class Search(Protocol):
    """A profile that reacts to what it has seen. All pure functions of the probes so far, so that they can be tested without a server.

    In the list are the probes that count, in order, the last attempt of each; `kept` is None in one that stayed void.
    """

    def next(self, options: Mapping[str, float], probes: Sequence[Probe]) -> ProfileChoice | None:
        """The next load; None ends the search."""
        ...

    def kept(self, options: Mapping[str, float], measurement: Measurement) -> bool | None:
        """Whether the search's objective was kept; None where it has none."""
        ...

    def result(self, options: Mapping[str, float], probes: Sequence[Probe]) -> Result: ...


def duration(default_s: float) -> Option:
    """The option that every profile has: how long the measured window is."""
    return Option("duration_s", default_s, "s", 0.5, 86_400, in_form=False)


def connections(name: str, default: int) -> Option:
    """The option that every profile has: how many connections there are, one per Locust user."""
    return Option(name, default, "connections", 1, 10_000, whole=True, in_form=False)


def evenly(rate_rps: float, start_s: float, end_s: float = math.inf) -> Iterator[float]:
    """Due times at a constant rate, from `start_s` on, before `end_s`."""
    for number in count():
        due_s = start_s + number / rate_rps
        if due_s >= end_s:
            return
        yield due_s


def complete(choice: ProfileChoice) -> ProfileChoice:
    """The choice with every option written out. Raises UsageError for an unknown profile or option, or a value outside the range."""
    known = {o.name: o for o in _profile(choice.name).options}
    for name, value in choice.options.items():
        if name not in known:
            raise UsageError(f"profile {choice.name!r} has no option {name!r}", hint=suggestion(name, sorted(known)))
        _check(choice.name, known[name], value)
    return ProfileChoice(name=choice.name, options={o.name: choice.options.get(o.name, o.default) for o in known.values()})


def resolve(choice: ProfileChoice) -> Load:
    """The load that a choice stands for; raises as `complete` does."""
    return _profile(choice.name).load(complete(choice).options)


def searching(choice: ProfileChoice) -> Search | None:
    """The profile, where it is one that takes several probes."""
    profile = _profile(choice.name)
    return profile if isinstance(profile, Search) else None


def share_of(connections: int, share: int, shares: int) -> int:
    """How many of the connections are those of process number `share` (from 0) of `shares`."""
    return connections // shares + (share < connections % shares)


def _profile(name: str) -> Profile:
    profile: Profile = PROFILES.load(name)
    return profile


def _check(profile: str, option: Option, value: float) -> None:
    if not math.isfinite(value) or not option.minimum <= value <= option.maximum:
        raise UsageError(
            f"profile {profile!r}: {option.name} is {value:g}, allowed is {option.minimum:g} to {option.maximum:g} {option.unit}",
            hint=f"the default is {option.default:g}",
        )
    if option.whole and value != int(value):
        raise UsageError(f"profile {profile!r}: {option.name} is {value:g}, it must be a whole number of {option.unit}")
