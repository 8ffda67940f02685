"""In which order cells are measured: shuffled anew in each round, and void ones again at the round's end.

A neighbour, a hot processor or a cron job spoils a stretch of time. Interleaved, it spoils a little of everything instead of one target,
and what it made void gets another stretch (Abedi and Brecht, ICPE 2017: randomised multiple interleaved trials).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from serveoff.results import Cell, LoadPlan

from .candidates import Candidate

ATTEMPTS = 3
"""A void round is repeated twice: more often would only wait for a machine that is too busy."""
REPEATED_SHARE = 0.25
"""So much of a round may be measured again in all: on a machine that is never quiet a load test must still end in time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One cell to measure: a candidate under the plan's profile of this number."""

    candidate: Candidate
    number: int
    round: int
    attempt: int = 1


def play(chosen: Sequence[Candidate], plan: LoadPlan, measure: Callable[[Step], Cell]) -> Iterator[Cell]:
    """Measure everything in every round; each attempt is a cell of its own."""
    rng = random.Random(plan.seed)  # noqa: S311 - an order, no secret
    for number in range(1, plan.rounds + 1):
        waiting = [Step(candidate, profile, number) for candidate in chosen for profile in range(len(plan.profiles))]
        rng.shuffle(waiting)
        budget = math.ceil(REPEATED_SHARE * len(waiting))
        for attempt in range(1, ATTEMPTS + 1):
            void = []
            for step in waiting:
                cell = measure(replace(step, attempt=attempt))
                yield cell
                if cell.repeatable and budget > 0:
                    budget -= 1
                    void.append(step)
            waiting = void
