"""In which order cells are measured: shuffled anew in each round, and void ones again at the round's end.

A neighbour, a hot processor or a cron job spoils a stretch of time. Interleaved, it spoils a little of everything instead of one target,
and what it made void gets another stretch (Abedi and Brecht, ICPE 2017: randomised multiple interleaved trials).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from serveoff.results import Cell, LoadPlan

from .candidates import Candidate
from .profiles import searching

MOST_TOGETHER = 16
"""So many load processes, of 80 MB each, wait for their turns at once."""
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


Measure = Callable[[Sequence[Step]], Iterable[Cell]]
"""Measures these steps, by turns where there are several; a cell for each, in their order."""


def play(chosen: Sequence[Candidate], plan: LoadPlan, measure: Measure) -> Iterator[Cell]:
    """Measure everything in every round; each attempt is a cell of its own."""
    rng = random.Random(plan.seed)  # noqa: S311 - an order, no secret
    for number in range(1, plan.rounds + 1):
        waiting = [Step(candidate, profile, number) for candidate in chosen for profile in range(len(plan.profiles))]
        rng.shuffle(waiting)
        budget = math.ceil(REPEATED_SHARE * len(waiting))
        for attempt in range(1, ATTEMPTS + 1):
            void = []
            for group in _groups([replace(step, attempt=attempt) for step in waiting], plan):
                for step, cell in zip(group, measure(group), strict=True):
                    yield cell
                    if cell.repeatable and budget > 0:
                        budget -= 1
                        void.append(step)
            waiting = void


def _groups(steps: Sequence[Step], plan: LoadPlan) -> list[list[Step]]:
    """Those that are measured by turns together: what is compared, so one profile and one encoding; and each target once."""
    groups: list[list[Step]] = []
    for step in steps:
        group = next((group for group in groups if _fits(step, group, plan)), None)
        if group is None:
            groups.append([step])
        else:
            group.append(step)
    return groups


def _fits(step: Step, group: Sequence[Step], plan: LoadPlan) -> bool:
    one = group[0]
    if not (_by_turns(step, plan) and _by_turns(one, plan)):
        return False
    alike = (step.number, step.candidate.wire.encoding) == (one.number, one.candidate.wire.encoding)
    new = step.candidate.target.id not in {other.candidate.target.id for other in group}
    return alike and new and len(group) < MOST_TOGETHER


def _by_turns(step: Step, plan: LoadPlan) -> bool:
    """Not a load that is shared or that reacts to what it sees, nor a target whose processes are not ours to hold."""
    if plan.turn_s == 0 or plan.load_processes > 1 or plan.workers:
        return False
    return searching(plan.profiles[step.number]) is None and step.candidate.target.pid is not None
