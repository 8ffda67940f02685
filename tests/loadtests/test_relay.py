"""Rows by turns: who is held notices nothing of it, and what goes wrong with one is that one's own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from loadtests import baton, plan, relay, resume, rounds, run, watch
from loadtests.baton import Baton, State
from loadtests.candidates import Candidate
from loadtests.locust import clock
from loadtests.locust.pacing import Alarm
from loadtests.rounds import Step
from serveoff import storage
from serveoff.console import Console
from serveoff.errors import InputError, UsageError
from serveoff.results import Cell, LoadPlan, RunResult
from serveoff.selection import Selection
from serveoff.workspace import Workspace

if TYPE_CHECKING:
    from .conftest import ServeModel

TURN_S = 0.05


def made(*profiles: str, **options: Any) -> LoadPlan:
    return plan.make(profiles, warmup_s=0.2, warmup_limit_s=0.5, turn_s=TURN_S, **options)


def load(workspace: Workspace, chosen: LoadPlan) -> list[Cell]:
    directory = run.load_test(Selection(), chosen, workspace, Console(quiet=True))
    return list(storage.read(directory / resume.RESULT, RunResult).cells)


def raw(workspace: Workspace, cell: Cell) -> dict[str, Any]:
    assert cell.measurement is not None, cell.reasons
    (run_dir,) = workspace.runs.iterdir()
    with np.load(run_dir / cell.measurement.raw) as found:
        return dict(found)


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Baton:
    """The relay's end of the baton that this process follows."""
    monkeypatch.setattr(clock, "baton", None)
    monkeypatch.setattr(clock, "now_ns", clock.now_ns)
    made = baton.make(tmp_path / "baton")
    clock.follow(tmp_path / "baton")
    return made


def test_the_clock_stands_still_for_as_long_as_it_was_held(held: Baton) -> None:
    before = clock.now_ns()
    held.held_ns = 10**15
    assert clock.now_ns() <= before - 10**15 + 60 * 10**9
    assert clock.monotonic_ns(5) == 5 + 10**15


def test_who_waits_wakes_early_after_it_was_held_and_waits_on(held: Baton) -> None:
    alarm = Alarm()
    begun, end = clock.now_ns(), clock.now_ns() + 150_000_000

    def hold() -> None:
        time.sleep(0.02)
        held.held_ns = 100_000_000

    beside = threading.Thread(target=hold)
    beside.start()
    try:
        alarm.wait_until(end)
        assert clock.now_ns() >= end
        clock.sleep(0.01)
        assert clock.now_ns() - begun >= 160_000_000
    finally:
        beside.join()
        alarm.close()


def test_both_ends_see_the_numbers(held: Baton) -> None:
    assert clock.baton is not None
    clock.baton.pid, clock.baton.state, clock.baton.latency_ns = 7, State.WARM, 5
    assert (held.pid, held.state, held.latency_ns, held.opened, held.held_ns) == (7, State.WARM, 5, 0, 0)


def test_what_the_host_does_while_a_target_is_held_does_not_count(monkeypatch: pytest.MonkeyPatch, make_target: Any) -> None:
    host = [100.0, 50.0, 1.0]
    monkeypatch.setattr(watch, "_host", lambda: tuple(host))
    monkeypatch.setattr(watch.Sampler, "scan", lambda self: None)
    sampler = watch.Sampler(make_target(1))
    for held_for in (7.0, 0.5):
        sampler.take(0)
        host[0] += held_for  # another one's turn
        sampler.miss()
        host[0] += 2
        host[1] += 1
    sampler.take(0)
    assert [(s.busy_s, s.idle_s, s.stolen_s) for s in sampler.samples] == [(100, 50, 1), (102, 51, 1), (104, 52, 1)]


def candidate(target: str, encoding: str = "json", pid: int | None = 1) -> Candidate:
    return Candidate(SimpleNamespace(id=target, pid=pid), None, None, SimpleNamespace(encoding=encoding))  # type: ignore[arg-type]


def groups(chosen: list[Any], profiles: tuple[str, ...] = ("closed",), **options: Any) -> set[frozenset[tuple[str, str, int]]]:
    found = []

    def measure(steps: Any) -> Any:
        found.append(frozenset((s.candidate.target.id, s.candidate.wire.encoding, s.number) for s in steps))
        return [SimpleNamespace(repeatable=False) for _ in steps]

    list(rounds.play(chosen, made(*profiles, **options), measure))
    assert sum(map(len, found)) == len(chosen) * len(profiles)
    return set(found)


def test_rows_that_are_compared_go_together_and_each_target_once() -> None:
    chosen = [candidate("a"), candidate("b"), candidate("a", "binary"), candidate("b", "binary"), candidate("b")]
    assert groups(chosen) == {
        frozenset({("a", "json", 0), ("b", "json", 0)}),
        frozenset({("b", "json", 0)}),
        frozenset({("a", "binary", 0), ("b", "binary", 0)}),
    }
    two = groups([candidate("a"), candidate("b")], ("closed", "poisson"))
    assert two == {frozenset({("a", "json", number), ("b", "json", number)}) for number in (0, 1)}


def test_what_cannot_be_held_or_is_shared_or_searched_is_measured_alone() -> None:
    both = [candidate("a"), candidate("b")]
    assert groups([candidate("a"), candidate("b"), candidate("c", pid=None)]) == {
        frozenset({("a", "json", 0), ("b", "json", 0)}),
        frozenset({("c", "json", 0)}),
    }
    for found in (groups(both, load_processes=2), groups(both, ("capacity",)), groups(both, workers=2)):
        assert {len(group) for group in found} == {1}


def test_an_interruption_inside_of_a_group_measures_the_rest_of_it() -> None:
    steps = [Step(SimpleNamespace(target=SimpleNamespace(id=name), endpoint=SimpleNamespace(protocol="p")), 0, 1) for name in "abc"]  # type: ignore[arg-type]
    there: Any = [SimpleNamespace(target=SimpleNamespace(id=name), protocol="p", round=1, attempt=1) for name in "ab"]
    measure: Any = lambda left: [("measured", step) for step in left]  # noqa: E731
    answer: Any = resume.replayed(there, measure)
    assert list(answer(steps)) == [*there, ("measured", steps[2])]
    assert list(answer(steps)) == [("measured", step) for step in steps]
    with pytest.raises(InputError, match="the unfinished run has a where b was due"):
        list(resume.replayed(there, lambda left: [])(steps[1:]))


@pytest.mark.integration
def test_two_rows_by_turns_are_two_measurements(model_workspace: Workspace, serve_model: ServeModel) -> None:
    """Under an open loop every due time is the same for both, and nothing of a hold is in any latency."""
    servers = [serve_model("good"), serve_model("slow")]
    cells = load(model_workspace, made("constant:rate_rps=40,duration_s=1.5,connections=8"))
    assert {c.target.server for c in cells if c.attempt == 1} == {"good", "slow"}
    for cell in cells[:2]:
        assert cell.measurement is not None, cell.reasons
        found = raw(model_workspace, cell)
        window_ns = found["window_ns"]
        due = found["due_ns"][(found["due_ns"] >= window_ns[0]) & (found["due_ns"] < window_ns[1])]
        assert (cell.measurement.window_s, cell.measurement.requests, len(due)) == (1.5, 60, 60)
        assert set(np.diff(np.sort(due))) == {25_000_000}
        assert (found["done_ns"] >= found["sent_ns"]).all()
        assert cell.measurement.turn_s == pytest.approx(1.5 / 5), "the slower one's latency asks for longer turns, but five there are"
        assert cell.measurement.sampled > 0
        around = cell.measurement.surroundings
        assert around is not None
        assert around.target_cpu is not None
        assert around.usage is not None
    assert all(psutil.Process(s.pid).status() != psutil.STATUS_STOPPED for s in servers), "nobody stays held"


@pytest.mark.integration
def test_a_closed_loop_knows_nothing_of_its_holds(model_workspace: Workspace, serve_model: ServeModel) -> None:
    """One connection sends one request after the other: their times do not overlap, and add up to the load's own time."""
    for mode in ("good", "wrong_later", "dies"):
        serve_model(mode)
    cells = {c.target.server: c for c in load(model_workspace, made("closed:users=1,duration_s=1"))}
    found = raw(model_workspace, cells["good"])
    assert (found["sent_ns"][1:] >= found["done_ns"][:-1]).all()
    took_ns = (found["done_ns"] - found["sent_ns"]).sum()
    assert took_ns <= found["done_ns"][-1] - found["sent_ns"][0]
    assert cells["wrong_later"].reasons[0].startswith("wrong answer under load")
    assert cells["dies"].verdict == "INVALID"
    assert any("died under load" in reason for reason in cells["dies"].reasons), cells["dies"].reasons


@pytest.mark.slow
def test_a_load_process_that_is_killed_in_a_relay_is_one_void_row(
    model_workspace: Workspace, serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, _ = serve_model("good"), serve_model("slow")
    turn, killed, meanwhile = relay.Leg.turn, list[relay.Leg](), set[str]()

    def harm(leg: relay.Leg, seconds: float) -> None:
        if leg.job.target.server == "good" and not killed:
            killed.append(leg)
            psutil.Process(leg._baton.pid).kill()
        elif killed and leg.job.target.server == "slow":
            held = psutil.Process(good.pid)
            for _ in range(100):  # a signal has no effect yet while the process is in the kernel
                if held.status() == psutil.STATUS_STOPPED:
                    break
                time.sleep(0.01)
            meanwhile.add(held.status())
        turn(leg, seconds)

    monkeypatch.setattr(relay.Leg, "turn", harm)
    cells = load(model_workspace, made("constant:rate_rps=40,duration_s=1,connections=8"))
    assert meanwhile == {psutil.STATUS_STOPPED}, "its target does not take part in the other's turns"
    hit, again = (c for c in cells if c.target.server == "good")
    assert hit.reasons[0].startswith("the load process ended with exit code -9")
    assert again.measurement is not None
    assert again.measurement.turn_s == 0, "alone"
    (other,) = (c for c in cells if c.target.server == "slow")
    assert other.measurement is not None
    assert other.measurement.requests == 40


def test_by_turns_from_three_rounds_on_unless_the_user_says_otherwise() -> None:
    assert [plan.make(rounds=rounds).turn_s for rounds in (1, 2, 3, 9)] == [0, 0, plan.TURN_S, plan.TURN_S]
    assert (made("closed").turn_s, plan.make(rounds=3, turn_s=0).turn_s) == (TURN_S, 0)
    with pytest.raises(UsageError, match="the length of a turn is -1 s"):
        plan.make(turn_s=-1)
