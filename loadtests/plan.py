"""The load plan: which profiles, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from serveoff.contract import LoadPlan, ProfileChoice
from serveoff.errors import UsageError

from .profiles import complete

DEFAULT = ("closed", "constant")
"""What a person gets who asks for nothing: capacity, and latency at a rate."""


def make(
    profiles: Sequence[str] = DEFAULT,
    *,
    warmup_s: float = 1.0,
    warmup_limit_s: float = 2.0,
    timeout_s: float = 10.0,
    seed: int = 1,
    rounds: int = 1,
    load_processes: int = 1,
    strict: bool = False,
) -> LoadPlan:
    """A plan from profiles as a person writes them, e.g. `constant:rate_rps=400,duration_s=30`. Raises UsageError."""
    if warmup_s < 0:
        raise UsageError(f"the warm-up is {warmup_s:g} s, it cannot be negative")
    if timeout_s <= 0:
        raise UsageError(f"the time limit of a request is {timeout_s:g} s, it must be more than 0")
    for what, value in (("rounds", rounds), ("load processes", load_processes)):
        if value < 1:
            raise UsageError(f"the number of {what} is {value}, it must be at least 1")
    return LoadPlan(
        profiles=tuple(parse(p) for p in profiles or DEFAULT),
        warmup_s=warmup_s,
        warmup_limit_s=max(warmup_s, warmup_limit_s),
        timeout_s=timeout_s,
        seed=seed,
        rounds=rounds,
        load_processes=load_processes,
        strict=strict,
    )


def parse(text: str) -> ProfileChoice:
    """`NAME` or `NAME:OPTION=NUMBER,...`. Raises UsageError."""
    name, _, rest = text.partition(":")
    options: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        try:
            options[key.strip()] = float(value)
        except ValueError:
            wrong = f"{value!r} is not a number" if equals else "it has no value"
            raise UsageError(f"profile option {part!r}: {wrong}", hint="write it as constant:rate_rps=400,duration_s=30") from None
    return complete(ProfileChoice(name=name.strip(), options=options))
