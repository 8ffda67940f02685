"""The order of the cells, and what is measured again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from loadtests import plan, steadiness, watch
from loadtests.handover import Facts
from loadtests.locust.warmup import steady
from loadtests.measure import Records
from loadtests.rounds import ATTEMPTS, Step, play
from loadtests.usage import Reading
from loadtests.watch import Sample

CHOSEN: list[Any] = [SimpleNamespace(name=name) for name in ("a", "b", "c")]


def played(rounds: int, seed: int, void: Any = lambda step: False) -> list[Step]:
    steps: list[Step] = []

    def measure(group: Sequence[Step]) -> Any:
        steps.extend(group)
        return [SimpleNamespace(step=step, repeatable=void(step)) for step in group]

    made = plan.make(["closed", "poisson"], rounds=rounds, seed=seed, turn_s=0)
    cells: list[Any] = list(play(CHOSEN, made, measure))
    assert [cell.step for cell in cells] == steps, "every attempt is a cell"
    return steps


def test_every_round_has_everything_once_in_an_order_of_its_own() -> None:
    steps = played(6, seed=4)
    orders = [[(s.candidate.name, s.number) for s in steps if s.round == number] for number in range(1, 7)]
    assert [s.round for s in steps] == sorted(s.round for s in steps), "interleaved: one round after the other"
    assert all(sorted(order) == [(name, number) for name in "abc" for number in (0, 1)] for order in orders)
    assert len({tuple(order) for order in orders}) > 3
    assert steps == played(6, seed=4)
    assert steps != played(6, seed=5)


def test_a_machine_that_is_never_quiet_costs_a_quarter_more_and_no_more() -> None:
    steps = played(3, seed=1, void=lambda _: True)
    assert Counter(s.round for s in steps) == {1: 8, 2: 8, 3: 8}, "six cells, and two of them again"


def test_a_void_cell_is_measured_again_at_the_end_of_its_round_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.rounds.REPEATED_SHARE", 2)

    def void(step: Step) -> bool:
        return step.round == 1 and (step.candidate.name == "b" or (step.candidate.name == "c" and step.attempt == 1))

    steps = played(2, seed=1, void=void)
    tries = Counter((s.candidate.name, s.number, s.round) for s in steps)
    assert {tries[name, n, 1] for name, n in (("b", 0), ("b", 1))} == {ATTEMPTS}
    assert {tries["c", n, 1] for n in (0, 1)} == {2}
    assert {count for (name, _, number), count in tries.items() if number == 2 or name == "a"} == {1}
    first = [s.attempt for s in steps if s.round == 1]
    assert first == sorted(first)
    assert max(first) == ATTEMPTS


def records(latencies_ms: np.ndarray[Any, Any], window_s: float = 6) -> tuple[Records, Facts]:
    due = np.linspace(0, window_s * 1e9, len(latencies_ms), endpoint=False).astype(np.int64)
    done = due + (latencies_ms * 1e6).astype(np.int64)
    none = np.zeros(len(due), np.int64)
    facts = Facts(
        start_ns=0,
        window_start_ns=0,
        window_end_ns=int(window_s * 1e9),
        end_ns=int(window_s * 1e9),
        open_loop=True,
        unsent=0,
        connections=1,
        error_classes=(),
        error_texts={},
        cpu=0.1,
    )
    return Records(due, due, done, none, none, none), facts


def test_steadiness_sees_a_drift_and_no_noise() -> None:
    rng = np.random.default_rng(11)
    alarms = sum(steadiness.drift(*records(5 * rng.lognormal(sigma=0.3, size=1200))) is not None for _ in range(100))
    assert alarms == 0
    drifting = 5 * rng.lognormal(sigma=0.3, size=1200) * np.linspace(1, 1.5, 1200)
    found = steadiness.drift(*records(drifting))
    assert found is not None
    assert re.fullmatch(r"not steady: the median latency changed by \+[23]\d% from the first to the last third of the window", found)
    assert steadiness.drift(*records(drifting[::20])) is None, "60 requests say nothing of a drift"
    assert steadiness.drift(*records(5 + np.linspace(0, 0.2, 1200))) is None, "4 % is there, and does not matter"


def test_one_slow_second_is_no_drift() -> None:
    latencies = np.full(1200, 5.0)
    latencies[:200] = 20
    assert steadiness.drift(*records(latencies)) is None


@pytest.mark.parametrize(
    ("slices", "open_loop", "verdict"),
    [
        ([[10, 10], [10, 11], [10, 10]], True, True),
        ([[20, 20], [10, 10], [10, 10]], True, False),
        ([[10] * 100, [10] * 100, [10] * 50], True, True),  # the schedule sets the count
        ([[10] * 100, [10] * 100, [10] * 50], False, False),
        ([[10], [10]], True, False),
        ([[10], [], [10]], True, False),
    ],
)
def test_a_warm_up_ends_when_three_slices_agree(slices: list[list[int]], open_loop: bool, verdict: bool) -> None:
    assert steady(slices, open_loop=open_loop) is verdict


def test_strangers_are_what_is_left_of_the_whole() -> None:
    """4 s on two cores: 3.2 s busy, of it 1.2 s the target and 0.8 s the client; sampled once a second, the window begins in between."""
    samples = [Sample(int(n * 1e9), 100 + 0.8 * n, 50 + 1.1 * n, 7 + 0.1 * n, 3 + 0.3 * n) for n in range(8)]
    facts = records(np.ones(3))[1]
    window = Facts(
        **{f: getattr(facts, f) for f in facts.__struct_fields__}
        | {"window_start_ns": 1_500_000_000, "window_end_ns": 5_500_000_000, "cpu": 0.2}
    )
    found = watch.surroundings([window], samples)
    assert found.target_cpu == pytest.approx(0.3)
    assert found.other_cpu == pytest.approx(0.3)
    assert found.idle_cpu == pytest.approx(1.1)
    assert found.stolen_cpu == pytest.approx(0.05)
    both = watch.surroundings([window, window], samples)
    assert both.other_cpu == pytest.approx(0.1), "two clients"
    unseen = watch.surroundings([window], [Sample(s.at_ns, s.busy_s, s.idle_s, s.stolen_s, None) for s in samples])
    assert (unseen.other_cpu, unseen.target_cpu) == (None, None)
    assert found.waiting is None, "nobody counted"
    counted = [replace(s, waited_s=10 + 0.5 * n) for n, s in enumerate(samples)]
    waited = Facts(**{f: getattr(window, f) for f in window.__struct_fields__} | {"waited": 0.5})
    assert watch.surroundings([waited], counted).waiting == pytest.approx(2 / 3), "1 s waited, 0.5 s run, every second"
    assert (found.target_cores, found.client_cores, found.usage) == (None, None, None), "nor looked"
    used = [replace(s, used=Reading(3 + 0.3 * n, 1000 + n, 1, 8, 40 * n, 2 * n)) for n, s in enumerate(samples)]
    pinned = Facts(**{f: getattr(window, f) for f in window.__struct_fields__} | {"cores": (1,)})
    seen = watch.surroundings([pinned, pinned], used, (0, 2))
    assert (seen.target_cores, seen.client_cores) == ((0, 2), (1,))
    assert seen.usage is not None
    assert seen.usage.cpu_s == pytest.approx(4 * 0.3)
    assert (seen.usage.voluntary_switches, seen.usage.memory_peak_bytes, seen.usage.threads) == (160, 1006, 8)
    assert watch.surroundings([window], samples[:3]).idle_cpu is None, "the window was not watched to its end"
