"""The servers, witnesses and judgements of bench.fidelity and bench.verdicts."""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import fidelity, fidelity_goals, verdicts, witnesses
from bench.stand_ins import StandIns
from bench.witnesses import Request
from loadtests import validity
from loadtests.witnesses import Seen
from serveoff import storage
from serveoff.launch import Target

pytestmark = pytest.mark.alone
BODY = b'{"instances":[[1.0,2.0,3.0,4.0]]}'
PATH = "/v1/models/sums:predict"


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[StandIns]:
    made = StandIns(tmp_path)
    yield made
    made.close()


def raw(target: Target) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{target.endpoints[0].port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


def test_a_fixed_server_answers_the_model_and_keeps_what_it_got(stand_ins: StandIns) -> None:
    target = stand_ins.start("fixed", "--work", "cpu", "--units", "3")
    assert storage.read(stand_ins.workspace.targets / target.id / "target.json", Target) == target
    connection = http.client.HTTPConnection("127.0.0.1", target.endpoints[0].port, timeout=30)
    for _ in range(3):
        connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
        assert json.loads(connection.getresponse().read()) == {"predictions": [[10.0, 1.0]]}
    connection.request("GET", "/seen")
    (seen,) = json.loads(connection.getresponse().read())
    assert seen["times"] == 3
    connection.request("GET", "/reset")
    connection.getresponse().read()
    connection.request("GET", "/seen")
    assert json.loads(connection.getresponse().read()) == []
    connection.close()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_sends_exactly_the_recorded_bytes(stand_ins: StandIns, tmp_path: Path) -> None:
    target = stand_ins.start("fixed", "--work", "timer", "--ms", "1")
    bench = fidelity.Bench(tmp_path, 1)
    request = Request(raw(target), target.endpoints[0].port)
    seen = witnesses.wrk(request, 2, 1, tmp_path)
    assert seen.requests > 0
    assert seen.p50_us >= 1000
    assert bench.recorded("wrk", target) == request.raw
    assert len(bench.bytes["wrk"]) == 1


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_h2load_sends_the_same_body(stand_ins: StandIns, tmp_path: Path) -> None:
    target = stand_ins.start("fixed", "--work", "timer", "--ms", "1")
    bench = fidelity.Bench(tmp_path, 1)
    seen = witnesses.h2load(Request(raw(target), target.endpoints[0].port), 40, 2, 1, tmp_path)
    assert seen.p99_us >= seen.p50_us >= 1000
    assert bench.recorded("h2load", target).endswith(b"\r\n\r\n" + BODY)


def test_what_is_compared_is_measured_one_right_after_the_other() -> None:
    names = ["ours, 1", "wrk, 1", "ours, 8", "wrk, 8", "ours, 400/s", "h2load, 400/s"]
    orders = list(fidelity._orders(names, argparse.Namespace(rounds=20, seed=0)))
    assert [sorted(order) for order in orders] == [sorted(names)] * 20
    assert all(order[n].partition(", ")[2] == order[n + 1].partition(", ")[2] for order in orders for n in (0, 2, 4))
    assert {order[0] for order in orders} == set(names), "none is always the first"


@pytest.mark.parametrize("window_s", [5.0, 10.0, 20.0])
def test_the_stalls_p99_is_that_of_its_schedule(window_s: float) -> None:
    due = np.arange(int(fidelity_goals.RATE * window_s)) / fidelity_goals.RATE
    stalled = (due >= 2.0) & (due < 2.0 + fidelity_goals.STALL_S)
    latency_s = np.where(stalled, 2.0 + fidelity_goals.STALL_S - due, 0.0) + fidelity_goals.SERVICE_MS / 1000
    wanted = np.quantile(latency_s, 0.99, method="inverted_cdf")
    assert fidelity_goals.stall_p99_us(fidelity_goals.RATE, window_s) / 1e6 == pytest.approx(wanted, abs=1 / fidelity_goals.RATE)


def test_fidelity_goals_are_met_by_equals_and_missed_by_others() -> None:
    equal = Seen(1000, 1000.0, 5300.0, 5700.0)
    slower = Seen(1000, 900.0, 5600.0, 7000.0)
    others = {"wrk, 1": [equal], "wrk, 8": [equal], "h2load, 400/s": [equal]}
    same = fidelity_goals.goals({"ours, 1": [equal], "ours, 8": [equal], "ours, 400/s": [equal], **others})
    assert [goal.met for goal in same] == [True] * 7
    off = fidelity_goals.goals({"ours, 1": [slower], "ours, 8": [slower], "ours, 400/s": [slower], **others})
    assert [goal.met for goal in off] == [False] * 7


@pytest.mark.slow
def test_a_server_four_times_as_slow_is_seen_through_the_real_load_test(stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "USUAL", verdicts.ANYTHING)
    options = argparse.Namespace(
        rate=0, users=2, seconds=1.0, rounds=3, metric=None, turn=0.05, work="wait", ms=4.0, slowed=3.0, comparisons=1, json=False
    )
    verdicts._start(stand_ins, options)
    said = verdicts._compare(stand_ins, options, 0)
    assert said["A/B"]["ratio"] < 0.6
    assert said["A/B"]["verdict"] in ("slower", "no difference shown", "not judged")
    assert said["A/A"]["metric"] == "throughput"
    assert list(stand_ins.workspace.runs.iterdir()) == []
