"""Real Locust processes on stand-in servers: what they record, and what they keep out of their way."""

from __future__ import annotations

import csv
import os
import socket
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loadtests import handover, measure
from serveoff.results import ProfileChoice

if TYPE_CHECKING:
    from .conftest import GrpcStandIn, Load
    from .http_stand_in import HttpStandIn

pytestmark = pytest.mark.integration

CLOSED = ProfileChoice(name="closed", options={"users": 3, "duration_s": 0.6})
CONSTANT = ProfileChoice(name="constant", options={"rate_rps": 100, "connections": 4, "duration_s": 0.8})


def test_a_closed_loop_over_http(http_stand_in: HttpStandIn, run_load: Load) -> None:
    loaded = run_load(http_stand_in.port, CLOSED)
    raw, facts = loaded.records, loaded.facts
    assert http_stand_in.connections == 3 == facts.connections, "one connection per user"
    assert facts.opened_in_window == 0
    assert len(raw) + 3 == len(http_stand_in.bodies), "every request is recorded; those that only opened the connections are not"
    assert set(http_stand_in.bodies[3 : 3 + len(raw)]) <= {b'{"instances": [[%d.0]]}' % number for number in range(64)}
    assert len(set(http_stand_in.bodies)) >= min(64, len(raw))
    assert (raw.due_ns == raw.sent_ns).all()
    assert (raw.done_ns > raw.sent_ns).all()
    assert set(raw.user.tolist()) == {0, 1, 2}
    assert not raw.outcome.any()
    assert raw.sent_ns.max() < facts.window_end_ns + 300_000_000
    assert facts.window_end_ns - facts.window_start_ns == 600_000_000
    for user in range(3):
        mine = raw.where(raw.user == user)
        assert (mine.sent_ns[1:] >= mine.done_ns[:-1]).all(), "a user has one request in flight"
    assert 0 < facts.cpu < 2


def test_connections_that_are_opened_again_in_the_window_are_counted(http_stand_in: HttpStandIn, run_load: Load) -> None:
    loaded = run_load(http_stand_in.port, CLOSED, path="/last")  # the server closes after each reply
    raw, facts = loaded.records, loaded.facts
    in_window = int(((raw.sent_ns >= facts.window_start_ns) & (raw.sent_ns < facts.window_end_ns)).sum())
    assert in_window > 30
    assert facts.opened_in_window == pytest.approx(in_window, abs=3), "each user may be connecting at one edge, or at both"
    assert facts.connections <= 3
    assert measure.measure(raw, facts, "records.npz").opened_in_window == facts.opened_in_window


def test_users_that_nobody_took_are_no_connections(run_load: Load) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    facts = run_load(port, CLOSED).facts
    assert (facts.connections, facts.opened_in_window, facts.error_classes) == (0, 0, ("refused",))


@pytest.mark.parametrize(("profile", "path"), [(CLOSED, "/ok"), (CONSTANT, "/ok"), (CLOSED, "/500")], ids=["closed", "open", "errors"])
def test_locusts_own_csv_counts_the_window_as_we_do(http_stand_in: HttpStandIn, run_load: Load, profile: ProfileChoice, path: str) -> None:
    loaded = run_load(http_stand_in.port, profile, path=path)
    seen = measure.measure(loaded.records, loaded.facts, "records.npz")
    assert len(loaded.records) > seen.requests, "there was a warm-up, or a tail"
    with (loaded.directory / "locust_stats.csv").open() as file:
        row, total = csv.DictReader(file)
    for one in (row, total):
        assert int(one["Request Count"]) == seen.requests
        assert int(one["Failure Count"]) == sum(seen.errors.values())
        assert float(one["Requests/s"]) == pytest.approx(seen.requests / seen.window_s)
    mine = loaded.records.where(
        (loaded.records.due_ns >= loaded.facts.window_start_ns) & (loaded.records.due_ns < loaded.facts.window_end_ns)
    )
    low_ms, high_ms = np.percentile(mine.done_ns - mine.due_ns, [45, 55]) / 1e6
    assert 0.98 * low_ms <= float(row["50%"]) <= 1.02 * high_ms, "whole milliseconds would not do"
    failed = sum(seen.errors.values())
    assert f"{seen.requests:7d} {f'{failed}({100 * failed / seen.requests:.2f}%)':>12s} |" in loaded.log, "the console counts the same"


_COLLECTIONS = """
import gc, os, time
log = open(os.environ["COLLECTIONS"], "a", buffering=1)
gc.callbacks.append(lambda phase, _: phase == "start" and print(time.monotonic_ns(), file=log))
"""


def test_the_garbage_collector_rests_in_the_window(http_stand_in: HttpStandIn, run_load: Load, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_COLLECTIONS)
    seen = tmp_path / "collections"
    facts = run_load(http_stand_in.port, CLOSED, env={"PYTHONPATH": str(tmp_path / "site"), "COLLECTIONS": str(seen)}).facts
    at_ns = [int(line) for line in seen.read_text().split()]
    assert any(moment < facts.window_start_ns for moment in at_ns), "it does collect, otherwise"
    assert not any(facts.window_start_ns <= moment < facts.window_end_ns for moment in at_ns)


def test_constant_arrivals_keep_their_schedule(http_stand_in: HttpStandIn, run_load: Load) -> None:
    loaded = run_load(http_stand_in.port, CONSTANT)
    facts = loaded.facts
    assert loaded.records.due_ns.min() == facts.start_ns, "the warm-up follows the arrivals, too"
    due = np.sort(loaded.records.due_ns[loaded.records.due_ns >= facts.window_start_ns])
    assert len(due) + facts.unsent == 100, "0.8 s window and 0.2 s tail at 100/s"
    assert not (np.diff(due) % 10_000_000).any()
    assert due[0] == facts.window_start_ns, "in the window the arrivals begin anew, however long the warm-up took"
    assert (loaded.records.sent_ns >= loaded.records.due_ns).all(), "nothing is sent before it is due"
    assert loaded.facts.open_loop


def test_a_server_that_stops_is_seen_by_the_open_loop(http_stand_in: HttpStandIn, run_load: Load) -> None:
    asked, awake_at = count(), [0.0]

    def stop_once() -> None:
        if next(asked) == 40:
            awake_at[0] = time.monotonic() + 0.5
        time.sleep(max(0.0, awake_at[0] - time.monotonic()))

    http_stand_in.before = stop_once
    loaded = run_load(http_stand_in.port, CONSTANT)
    measured = measure.measure(loaded.records, loaded.facts, "records.npz")
    # Some 50 requests were due while nobody answered, and only four of them could be sent: a closed loop would have seen those four.
    late = loaded.records.where(loaded.records.sent_ns - loaded.records.due_ns > 50_000_000)
    assert len(late) + measured.unsent > 30
    assert (loaded.records.done_ns - loaded.records.due_ns).max() > 450_000_000
    latency, service = (measure.percentiles_us(blob, [75])[75] for blob in (measured.latency_hdr, measured.service_hdr))
    assert latency > service


def test_what_could_not_be_sent_is_counted(http_stand_in: HttpStandIn, run_load: Load) -> None:
    http_stand_in.before = lambda: time.sleep(0.1)
    loaded = run_load(http_stand_in.port, CONSTANT)  # 100/s asked, 4 connections of 10/s each: 40/s is possible
    measured = measure.measure(loaded.records, loaded.facts, "records.npz")
    assert measured.unsent > 20
    assert measured.requests + measured.unsent == 80
    assert measured.offered_rps == pytest.approx(100)
    assert measured.throughput_rps < 60


@pytest.mark.parametrize(("path", "kind"), [("/500", "server fault"), ("/cut", "connection lost"), ("/stall", "timeout")])
def test_errors_have_a_class_and_a_text(http_stand_in: HttpStandIn, run_load: Load, path: str, kind: str) -> None:
    loaded = run_load(http_stand_in.port, CLOSED, path=path, timeout_s=0.2)
    measured = measure.measure(loaded.records, loaded.facts, "records.npz")
    assert set(measured.errors) == {kind}
    assert measured.errors[kind] == measured.requests > 0
    assert measured.throughput_rps == 0
    assert loaded.facts.error_texts[kind].startswith({"/500": "http-500: out of ", "/cut": "closed in", "/stall": "no reply"}[path])
    assert handover.unpack(loaded.directory / handover.ANSWERS, handover.Answers).answers == ()
    failures = (loaded.directory / "locust_failures.csv").read_text()
    assert loaded.facts.error_texts[kind] in failures, "Locust counts in the server's own words"


@pytest.mark.parametrize(
    ("path", "classes"), [("/ok", set()), ("/500", {"server fault"}), ("/silent", {"connection lost"}), ("/stall", {"timeout"})]
)
def test_fast_http_user_sends_the_same_for_comparison(http_stand_in: HttpStandIn, run_load: Load, path: str, classes: set[str]) -> None:
    loaded = run_load(http_stand_in.port, CLOSED, path=path, client="fasthttp", timeout_s=0.2)
    assert set(loaded.facts.error_classes) == classes
    assert len(loaded.records) > 3
    assert set(http_stand_in.bodies) <= {b'{"instances": [[%d.0]]}' % number for number in range(64)}
    if path == "/ok":
        assert http_stand_in.connections == 3
    assert loaded.facts.opened_in_window is None, "its pool does not tell"


@pytest.mark.parametrize("profile", [CLOSED, CONSTANT], ids=lambda p: p.name)
def test_grpc_has_one_connection_per_user_and_carries_bytes(grpc_stand_in: GrpcStandIn, run_load: Load, profile: ProfileChoice) -> None:
    loaded = run_load(grpc_stand_in.port, profile, path="/x/Echo", grpc=True)
    assert not loaded.records.outcome.any()
    assert len(loaded.records) > 10
    assert len(grpc_stand_in.peers) == loaded.facts.connections == (3 if profile is CLOSED else 4)
    assert loaded.facts.opened_in_window == 0
    answers = handover.unpack(loaded.directory / handover.ANSWERS, handover.Answers).answers
    assert len(answers) == min(32, len(loaded.records))
    for answer in answers:
        assert answer.reply == b'{"instances": [[%d.0]]}' % answer.payload, "an answer is kept with the payload it belongs to"


def test_grpc_errors_have_a_class_and_a_text(grpc_stand_in: GrpcStandIn, run_load: Load) -> None:
    loaded = run_load(grpc_stand_in.port, CLOSED, path="/x/RESOURCE_EXHAUSTED", grpc=True)
    assert loaded.facts.error_classes == ("server fault",)
    assert loaded.facts.error_texts == {"server fault": "grpc-RESOURCE_EXHAUSTED: the stand-in says no"}
    assert (loaded.records.outcome == 1).all()


def test_a_load_process_loads_no_framework_and_none_of_the_users_settings(
    http_stand_in: HttpStandIn, run_load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, hook = tmp_path / "home", tmp_path / "hook"
    home.mkdir()
    hook.mkdir()
    (home / ".locust.conf").write_text("users = 99\ntags = nothing\nloglevel = NONSENSE\n")
    (hook / "sitecustomize.py").write_text(
        "import atexit, pathlib, sys\n"
        "atexit.register(lambda: pathlib.Path('modules.txt').write_text('\\n'.join(sorted(m.split('.')[0] for m in sys.modules))))\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOCUST_TAGS", "nothing")
    loaded = run_load(http_stand_in.port, CLOSED, env={"PYTHONPATH": f"{hook}:{os.environ.get('PYTHONPATH', '')}"})
    modules = set((loaded.directory / "modules.txt").read_text().split())
    assert "locust" in modules
    assert not modules & {"tensorflow", "torch", "keras", "numpy", "onnxruntime", "grpc"}
