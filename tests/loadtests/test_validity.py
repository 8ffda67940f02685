"""Each reason that makes a measurement INVALID, and the sentence it gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadtests import validity
from serveoff.contract import Measurement

GOOD = Measurement(
    window_s=6,
    cut_s=(1, 0.2),
    requests=1200,
    errors={},
    error_texts={},
    unsent=0,
    offered_rps=200,
    throughput_rps=200,
    connections=32,
    latency_hdr="",
    service_hdr="",
    intervals=(),
    client_cpu=0.3,
    raw="raw.npz",
)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"requests": 30, "throughput_rps": 5.0},  # few samples: the report marks its p99, the rest is as true as ever
        {"requests": 1188, "unsent": 12},
        {"requests": 10_000, "errors": {"timeout": 10}},
        {"client_cpu": 0.9},
        {"offered_rps": None},
    ],
)
def test_valid(change: dict[str, Any]) -> None:
    assert validity.reasons(msgspec.structs.replace(GOOD, **change)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": 0}, ["no successful reply"]),
        ({"errors": {"timeout": 1200}, "error_texts": {"timeout": "no reply"}}, ["no successful reply", "100.0%", "timeout: no reply"]),
        (
            {"errors": {"http-500": 2, "timeout": 1}, "error_texts": {"http-500": "out of memory"}},
            ["3 of 1200 requests failed (0.2%), most with http-500: out of memory"],
        ),
        ({"requests": 1187, "unsent": 13}, ["only 1187 of 1200 requests", "98.9%"]),
        ({"requests": 0, "unsent": 1200}, ["no successful reply", "only 0 of 1200"]),
        ({"client_cpu": 0.97}, ["97% of a core"]),
    ],
)
def test_invalid(change: dict[str, Any], words: list[str]) -> None:
    found = " | ".join(validity.reasons(msgspec.structs.replace(GOOD, **change)))
    for word in words:
        assert word in found


def test_wrong_answers_come_first_and_are_not_counted_as_failed_requests() -> None:
    measured = msgspec.structs.replace(GOOD, errors={validity.WRONG_ANSWER: 3})
    assert validity.reasons(measured, ["payload 7: 1 of 10 values differ", "payload 9: ...", "payload 11: ..."]) == [
        "wrong answer under load: payload 7: 1 of 10 values differ (and 2 more)"
    ]
