"""From stored records to figures; the expected ones come from numpy or from counting by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import measure, validity
from loadtests.handover import Facts
from loadtests.locust.recorder import AnswerSample, Recorder
from loadtests.measure import Records

S = 1_000_000_000
MS = 1_000_000


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "start_ns": 100 * S,
        "window_start_ns": 101 * S,
        "window_end_ns": 103 * S,
        "end_ns": 103 * S + 250 * MS,
        "open_loop": True,
        "unsent": 0,
        "connections": 2,
        "error_classes": ("server fault", "timeout"),
        "error_texts": {"server fault": "no", "timeout": "late"},
        "cpu": 0.25,
    }
    return Facts(**(values | changes))


def records(*rows: tuple[int, int, int, int]) -> Records:
    """(due, sent, done, outcome), times in milliseconds after second 100."""
    recorder = Recorder()
    for due, sent, done, outcome in rows:
        recorder.add(100 * S + due * MS, 100 * S + sent * MS, 100 * S + done * MS, outcome, 0, 10)
    return measure.records(recorder.columns())


def test_the_window_is_cut_by_due_time_and_throughput_by_arrival() -> None:
    raw = records(
        (999, 999, 1001, 0),  # due in the warm-up; its reply came in the window
        (1000, 1000, 1002, 0),
        (1500, 1510, 1520, 0),
        (1900, 1900, 1950, 1),  # server fault
        (2999, 3000, 3010, 0),  # due in the window, its reply came after it
        (3000, 3000, 3001, 0),  # the tail
    )
    result = measure.measure(raw, facts(unsent=6), "raw.npz")
    assert (result.requests, result.errors, result.unsent) == (4, {"server fault": 1}, 6)
    assert result.offered_rps == 5
    assert result.throughput_rps == 1.5
    assert result.window_s == 2
    assert result.cut_s == (1.0, 0.25)
    assert result.error_texts == {"server fault": "no", "timeout": "late"}
    assert (result.connections, result.client_cpu, result.raw) == (2, 0.25, "raw.npz")
    latency, service = (HdrHistogram.decode(blob) for blob in (result.latency_hdr, result.service_hdr))
    assert latency.get_total_count() == service.get_total_count() == 3, "errors have no latency"
    assert latency.get_min_value() == pytest.approx(2000, rel=1e-3)
    assert latency.get_max_value() == pytest.approx(20_000, rel=1e-3), "counted from when it was due"
    assert service.get_max_value() == pytest.approx(10_000, rel=1e-3), "counted from when it was sent"
    assert [(i.start_s, i.requests, i.errors) for i in result.intervals] == [(0, 3, 1), (1, 1, 0)]


def test_a_stall_whose_requests_were_never_sent_makes_the_measurement_void() -> None:
    """2000/s on 32 connections; the server stalls 75 ms before the window's end until after the tail: 119 requests find no connection."""
    due_ms = np.arange(12_000) / 2
    sent = due_ms[:11_881]
    last = np.concatenate([np.full(len(sent) - 31, 1.0), np.full(31, 300.0)])
    due, done = (101 * S + (times * MS).astype(np.int64) for times in (sent, sent + last))
    none = np.zeros(len(due), np.int64)
    raw = Records(due, due, done, none, none, none)
    result = measure.measure(raw, facts(window_end_ns=107 * S, end_ns=107 * S + 250 * MS, unsent=119), "raw.npz")
    assert measure.percentiles_us(result.latency_hdr, [99])[99] == pytest.approx(1000, rel=1e-3), "which is not true"
    assert (result.requests, result.offered_rps) == (11_881, 2000)
    assert [reason.split(" (")[0] for reason in validity.reasons(result)] == ["only 11881 of 12000 requests that were due could be sent"]


def test_a_closed_loop_offers_nothing() -> None:
    assert measure.measure(records((1500, 1500, 1600, 0)), facts(open_loop=False), "raw.npz").offered_rps is None


def test_no_request_at_all_is_no_crash() -> None:
    result = measure.measure(records(), facts(), "raw.npz")
    assert (result.requests, result.throughput_rps, len(result.intervals)) == (0, 0, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1_000, 3_000 * S), min_size=1, max_size=200), st.sampled_from([0.5, 1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_those_of_the_raw_values_to_three_figures(durations: list[int], percentile: float) -> None:
    values = np.array(durations, np.int64)
    rank = max(1, int(percentile / 100 * len(values) + 0.5))  # HdrHistogram's definition: the nearest rank
    exact = float(np.sort(np.rint(values / 1000))[rank - 1])
    found = measure.percentiles_us(measure.histogram(values), [percentile])[percentile]
    assert found == pytest.approx(exact, rel=1e-3)


def test_nothing_is_too_short_or_too_long_to_be_counted() -> None:
    histogram = HdrHistogram.decode(measure.histogram(np.array([0, -5, 10 * 3600 * S], np.int64)))
    assert histogram.get_total_count() == 3
    assert histogram.get_max_value() >= 3_590_000_000


def test_the_raw_file_holds_every_record_and_what_its_outcomes_mean(tmp_path: Path) -> None:
    raw = records((1, 2, 3, 0), (4, 5, 6, 2))
    measure.save(tmp_path / "raw.npz", raw, facts())
    with np.load(tmp_path / "raw.npz") as file:
        assert file["done_ns"].tolist() == [100 * S + 3 * MS, 100 * S + 6 * MS]
        assert file["error_classes"][file["outcome"][1] - 1] == "timeout"
        assert file["window_ns"].tolist() == [101 * S, 103 * S]
        assert set(file.files) == {"due_ns", "sent_ns", "done_ns", "outcome", "user", "reply_bytes", "window_ns", "error_classes"}


def test_the_sample_of_answers_is_uniform_seeded_and_bounded() -> None:
    def sample(seed: int, stream: int) -> list[int]:
        subject = AnswerSample(8, seed)
        for number in range(stream):
            subject.offer(number, b"")
        return [a.payload for a in subject.answers().answers]

    assert sorted(sample(1, 5)) == [0, 1, 2, 3, 4]
    assert len(sample(1, 1000)) == 8
    assert sample(1, 1000) == sample(1, 1000) != sample(2, 1000)
    tenths = np.histogram([n for seed in range(500) for n in sample(seed, 200)], bins=10, range=(0, 200))[0]
    assert tenths.sum() == 4000
    assert abs(tenths - 400).max() < 100, "5 standard deviations"
