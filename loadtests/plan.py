"""The load plan: which profiles, and what holds for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from serveoff.errors import UsageError
from serveoff.results import FEWEST_ROUNDS, LoadPlan, ProfileChoice

from . import cpu_sets as division
from .distributed import address
from .profiles import complete, resolve

DEFAULT = ("closed", "constant")
"""What a person gets who asks for nothing: capacity, and latency at a rate."""

TURN_S = 0.1
"""A shared host changes its speed within a second (measured: two equal stretches of work differ by 17% where each takes 0.06 s, by 30%
where each takes 1 s or more, and of the shorter ones there are twenty times as many)."""
LONGEST_S = 3600
SHORTEST_TIMEOUT_S = 0.001


def make(  # noqa: PLR0913 - one for each setting
    profiles: Sequence[str] = DEFAULT,
    *,
    warmup_s: float = 1.0,
    warmup_limit_s: float = 1.5,
    timeout_s: float = 10.0,
    seed: int = 1,
    rounds: int = 1,
    load_processes: int = 1,
    workers: int | str = 0,
    master: str = "127.0.0.1:5557",
    strict: bool = False,
    cpu_sets: str = division.AUTO,
    turn_s: float | None = None,
) -> LoadPlan:
    """A plan from profiles as a person writes them, e.g. `constant:rate_rps=400,duration_s=30`. Raises UsageError.

    `turn_s` None: by turns where there are rounds enough for a verdict. Each row by itself is a little nearer to what it would be in
    production (no cold start of a turn); by turns two rows are comparable.
    """
    if turn_s is None:
        turn_s = TURN_S if rounds >= FEWEST_ROUNDS else 0.0
    for what, seconds, least in (
        ("warm-up", warmup_s, 0),
        ("limit of the warm-up", warmup_limit_s, 0),
        ("time limit of a request", timeout_s, SHORTEST_TIMEOUT_S),
        ("length of a turn", turn_s, 0),
    ):
        if not (math.isfinite(seconds) and least <= seconds <= LONGEST_S):
            raise UsageError(
                f"the {what} is {seconds:g} s, allowed is {least:g} to {LONGEST_S:g} s", hint="`serveoff loadtest --help` says the defaults"
            )
    for what, value in (("rounds", rounds), ("load processes", load_processes)):
        if value < 1:
            raise UsageError(f"the number of {what} is {value}, it must be at least 1")
    chosen = tuple(parse(p) for p in profiles or DEFAULT)
    address(master)
    wanted, hosts = parse_workers(str(workers))
    if wanted and load_processes > 1:
        raise UsageError(f"{wanted} workers and {load_processes} load processes do not go together", hint="name one of the two")
    for choice in chosen:
        if (connections := resolve(choice).connections) < wanted:
            raise UsageError(f"profile {choice.name!r} has {connections} connections, {wanted} workers need one each at least")
    return LoadPlan(
        profiles=chosen,
        warmup_s=warmup_s,
        warmup_limit_s=max(warmup_s, warmup_limit_s),
        timeout_s=timeout_s,
        seed=seed,
        rounds=rounds,
        turn_s=turn_s,
        load_processes=load_processes,
        workers=wanted,
        worker_hosts=hosts,
        master=master,
        strict=strict,
        cpu_sets=division.check(cpu_sets),
    )


def parse_workers(text: str) -> tuple[int, tuple[str, ...]]:
    """`2`, or `host1,host2`: how many workers there are to be, and the hosts they must run on. Raises UsageError."""
    if text.isdecimal():
        return int(text), ()
    hosts = tuple(part.strip() for part in text.split(","))
    if not all(hosts) or any(set(host) & set(" /=") or host.startswith("-") for host in hosts):
        raise UsageError(f"{text!r} is neither a number of workers nor the names of their hosts", hint="write it as 2, or as host1,host2")
    return len(hosts), hosts


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
