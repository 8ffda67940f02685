"""Several load processes are one load: the same schedule, the same records, the same facts."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import crew, handover, measure, plan
from loadtests.handover import Facts, Payloads
from loadtests.locust.pacing import Schedule
from loadtests.locust.recorder import Recorder
from loadtests.merge import merge
from loadtests.profiles import share_of
from serveoff import storage
from serveoff.results import CellJob

if TYPE_CHECKING:
    from .conftest import MakeTarget
    from .http_stand_in import HttpStandIn

CLASSES = ("server fault", "timeout", "refused")


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "start_ns": 0,
        "window_start_ns": 10,
        "window_end_ns": 1_000_000_000,
        "end_ns": 1_100_000_000,
        "open_loop": True,
        "unsent": 0,
        "connections": 4,
        "error_classes": (),
        "error_texts": {},
        "cpu": 0.2,
    }
    return Facts(**(values | changes))


Request = tuple[int, int, int]


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 10**8), st.integers(0, 3)), max_size=60), st.integers(1, 4), st.randoms())
def test_records_of_several_processes_are_those_of_one(requests: list[Request], processes: int, rng: random.Random) -> None:
    """Whoever sent a request, and whatever numbers its errors got there: merged, nothing tells that there were several."""
    requests = sorted(requests, key=lambda r: r[0] + r[1])
    parts: list[list[tuple[int, Request]]] = [[] for _ in range(processes)]
    for number, request in enumerate(requests):
        parts[rng.randrange(processes)].append((number, request))

    def recorded(part: list[tuple[int, Request]], classes: tuple[str, ...], **changes: Any) -> tuple[measure.Records, Facts]:
        recorder = Recorder()
        for number, (due, took, error) in part:
            outcome = classes.index(CLASSES[error - 1]) + 1 if error else 0
            recorder.add(due, due, due + took, outcome, number % 8, number)
        texts = {kind: f"text of {kind}" for kind in classes}
        return measure.records(recorder.columns()), facts(error_classes=classes, error_texts=texts, **changes)

    shuffled = [tuple(rng.sample(CLASSES, 3)) for _ in parts]
    several = merge([recorded(part, classes, unsent=2, connections=2) for part, classes in zip(parts, shuffled, strict=True)])
    one = recorded(list(enumerate(requests)), several[1].error_classes, unsent=2 * processes, connections=2 * processes)
    assert np.array_equal(np.sort(several[0].done_ns), several[0].done_ns)
    order, again = (
        np.argsort(several[0].reply_bytes),
        np.argsort(one[0].reply_bytes),
    )  # the number of the request: equal times have no order
    for column in ("due_ns", "sent_ns", "done_ns", "outcome", "user", "reply_bytes"):
        assert np.array_equal(getattr(several[0], column)[order], getattr(one[0], column)[again]), column
    assert msgspec.structs.replace(measure.measure(*several, "raw"), error_texts={}) == msgspec.structs.replace(
        measure.measure(*one, "raw"), error_texts={}
    )


def test_the_worst_process_speaks_for_all() -> None:
    empty = measure.records(Recorder().columns())
    _, merged = merge([(empty, facts(cpu=0.2, hub_lag_p99_us=900.0)), (empty, facts(cpu=0.9, hub_lag_p99_us=100.0, warmed_up=False))])
    assert (merged.cpu, merged.hub_lag_p99_us, merged.warmed_up, merged.connections) == (0.9, 900.0, False, 8)


def test_connections_opened_in_the_window_are_those_of_all_processes_or_unknown() -> None:
    empty = measure.records(Recorder().columns())

    def merged(*opened: int | None) -> int | None:
        return merge([(empty, facts(opened_in_window=many)) for many in opened])[1].opened_in_window

    assert merged(3, 0, 4) == 7
    assert merged(3, None) is None


@given(st.integers(1, 5), st.integers(5, 40))
def test_shares_are_the_whole(shares: int, connections: int) -> None:
    assert sum(share_of(connections, share, shares) for share in range(shares)) == connections

    def arrivals(rng: random.Random) -> Any:
        return (rng.random() + number for number in range(1000))

    whole = Schedule(arrivals, 3, 0)
    parts = [Schedule(arrivals, 3, 0, share, shares) for share in range(shares)]
    taken = [one.take() for one in parts for _ in range(5)]
    assert sorted(taken) == [whole.take() for _ in range(5 * shares)]
    assert len(list(islice(taken, 100))) == 5 * shares


@pytest.mark.integration
def test_two_processes_send_the_schedule_of_one(http_stand_in: HttpStandIn, make_target: MakeTarget, tmp_path: Path) -> None:
    directory = tmp_path / "cell"
    directory.mkdir()
    bodies = tuple(b'{"instances": [[%d.0]]}' % number for number in range(64))
    handover.pack(tmp_path / "payloads.msgpack", Payloads(transport="http", path="/ok", headers={}, bodies=bodies))
    chosen = plan.make(["poisson:rate_rps=150,duration_s=1,connections=5"], warmup_s=0.2, warmup_limit_s=0.5, load_processes=2)
    job = CellJob(
        target=make_target(http_stand_in.port), protocol="tfs_rest", profile=chosen.profiles[0], plan=chosen, payloads="../payloads.msgpack"
    )
    members = crew.run(job, directory, tmp_path)
    assert [m.finished for m in members] == [True, True], [m.lost for m in members]
    parts = [
        (
            measure.records(handover.unpack(m.directory / handover.RECORDS, handover.Columns)),
            storage.read(m.directory / handover.FACTS, Facts),
        )
        for m in members
    ]
    assert len({f.window_start_ns for _, f in parts}) == 1, "one window"
    assert [f.connections for _, f in parts] == [3, 2]
    assert all(len(raw) for raw, _ in parts)
    raw, merged = merge(parts)
    start_ns = merged.window_start_ns
    wanted = []
    alone = Schedule(plan_arrivals(chosen.profiles[0].options["rate_rps"]), chosen.seed, start_ns)
    while (due_ns := alone.take()[1]) < merged.window_end_ns:
        wanted.append(due_ns)
    sent = np.sort(raw.due_ns[(raw.due_ns >= start_ns) & (raw.due_ns < merged.window_end_ns)])
    assert len(sent) + merged.unsent == len(wanted)
    assert set(sent.tolist()) <= set(wanted), "due by due the schedule of one process with this seed"
    assert set(raw.user.tolist()) == {0, 1, 2, 3, 4}
    assert http_stand_in.connections == 5


def plan_arrivals(rate: float) -> Any:
    """Poisson arrivals, written down a second time."""

    def arrivals(rng: random.Random) -> Any:
        due_s = 0.0
        while True:
            due_s += rng.expovariate(rate)
            yield due_s

    return arrivals
