"""Every server gets the same cores, the client others: neither takes from the other, and no server has more than another.

Whatever happens, all may run everywhere again afterwards: at the end, at Ctrl-C, and when our process is killed (the waker sees to that).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from serveoff import affinity, host
from serveoff.console import Console
from serveoff.errors import ServeoffError, UsageError
from serveoff.launch import Target
from serveoff.registry import LAUNCHERS

AUTO, OFF = "auto", "off"
_HINT = "write `auto`, `off`, or the cores of the servers and those of the client, e.g. 0-3:4,5"


@dataclass(frozen=True, slots=True)
class Sets:
    """The cores (as the system numbers them) of every server, and those of the load processes and of ourselves."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    def __str__(self) -> str:
        server, client = (", ".join(map(str, cores)) for cores in (self.server, self.client))
        return f"servers on core {server}; load processes on core {client}"


def check(wanted: str) -> str:
    """What a person asked for, when it can be read. Raises UsageError."""
    if wanted not in (AUTO, OFF):
        _parse(wanted)
    return wanted


def divide(wanted: str) -> Sets | str:
    """The sets, or why there are none. Raises UsageError for cores that are not ours to use."""
    if wanted == OFF:
        return "off, as asked for: servers and load processes share all cores"
    if not affinity.supported():
        return "none: this system has no CPU affinity"
    usable = affinity.usable()
    if wanted == AUTO:
        return _halves(usable[: host.cores()])
    sets = _parse(wanted)
    strange = sorted({*sets.server, *sets.client} - set(usable))
    if strange:
        raise UsageError(f"core {strange[0]} is none that may be used here: those are {', '.join(map(str, sorted(usable)))}", hint=_HINT)
    return sets


def server_cores(wanted: str) -> tuple[int, ...] | None:
    """Those of every server; None where there are no sets. To be asked before `apart`, which leaves us the client's."""
    sets = divide(wanted)
    return sets.server if isinstance(sets, Sets) else None


@contextmanager
def apart(targets: Sequence[Target], wanted: str, console: Console) -> Iterator[str]:
    """Pin all targets, and ourselves with all load processes to come, until the end. Says in words what is in force.

    Where one target cannot be pinned none is: unequal means would be worse than shared ones.
    """
    sets = divide(wanted)
    if isinstance(sets, str):
        yield sets
        return
    everywhere = affinity.usable()
    pinned: list[Target] = []
    try:
        words = str(sets)
        try:
            for target in targets:
                LAUNCHERS.load(target.launcher).pin(target, sets.server)
                pinned.append(target)
        except ServeoffError as error:
            words = f"none: {error.message}"
            console.say(f"{error.message}: servers and load processes share all cores")
            with suppress(ServeoffError):  # the one that cannot be pinned; part of it may be
                free(targets, everywhere)
        else:
            affinity.pin(os.getpid(), sets.client)
        yield words
    finally:
        affinity.pin(os.getpid(), everywhere)
        free(pinned, everywhere)


def free(targets: Sequence[Target], cores: Sequence[int]) -> None:
    """Let all targets run on these cores; goes on after one that cannot."""
    failed: ServeoffError | None = None
    for target in targets:
        try:
            LAUNCHERS.load(target.launcher).pin(target, cores)
        except ServeoffError as error:
            failed = error
    if failed is not None:
        raise failed


def _halves(usable: Sequence[int]) -> Sets | str:
    """The first half of the cores and the second; where there are several, hardware threads of one core stay together."""
    if len(usable) < 2:
        return "none: there is one core only"
    cut = len(usable) // 2
    cuts = [n for n in range(1, len(usable)) if affinity.siblings(usable[n]) != affinity.siblings(usable[n - 1])]
    if cuts:
        cut = min(cuts, key=lambda n: abs(n - cut))
    return Sets(tuple(sorted(usable[:cut])), tuple(sorted(usable[cut:])))


def _parse(wanted: str) -> Sets:
    server, colon, client = wanted.partition(":")
    try:
        sets = Sets(affinity.numbers(server), affinity.numbers(client))
    except ValueError:
        raise UsageError(f"CPU sets {wanted!r} cannot be read", hint=_HINT) from None
    if not colon or not sets.server or not sets.client:
        raise UsageError(f"CPU sets {wanted!r}: one side has no core", hint=_HINT)
    return sets
