"""Each reason that makes a measurement INVALID, and the sentence it gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadtests import validity
from serveoff.results import WRONG_ANSWER, Measurement
from serveoff.surroundings import Surroundings

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
        {"requests": 20, "throughput_rps": 5.0},  # few samples: the report marks its p99, the rest is as true as ever
        {"requests": 1999, "unsent": 1},
        {"requests": 10_000, "errors": {"timeout": 10}},
        {"offered_rps": None},
    ],
)
def test_valid(change: dict[str, Any]) -> None:
    assert validity.reasons(msgspec.structs.replace(GOOD, **change)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": 0}, ["no successful reply"]),
        ({"requests": 19}, ["too few samples: 19 good replies, a median needs 20"]),
        ({"requests": 1200, "errors": {"overload": 1190}}, ["too few samples: 10 good replies", "1190 of 1200"]),
        (
            {"errors": {"timeout": 1200}, "error_texts": {"timeout": "no reply within 1 s"}},
            ["no successful reply", "100.0%): timeout, first no reply"],
        ),
        (
            {"errors": {"overload": 2, "timeout": 1}, "error_texts": {"overload": "http-503: the queue is full"}},
            ["3 of 1200 requests failed (0.2%): most of them overload, first http-503: the queue is full"],
        ),
        ({"requests": 1198, "unsent": 2}, ["only 1198 of 1200 requests", "99.8%"]),
        ({"requests": 0, "unsent": 1200}, ["no successful reply", "only 0 of 1200"]),
    ],
)
def test_invalid(change: dict[str, Any], words: list[str]) -> None:
    found = " | ".join(validity.reasons(msgspec.structs.replace(GOOD, **change)))
    for word in words:
        assert word in found


def test_wrong_answers_come_first_and_are_not_counted_as_failed_requests() -> None:
    measured = msgspec.structs.replace(GOOD, errors={WRONG_ANSWER: 3})
    assert validity.reasons(measured, ["payload 7: 1 of 10 values differ", "payload 9: ...", "payload 11: ..."]) == [
        "wrong answer under load: payload 7: 1 of 10 values differ (and 2 more)"
    ]


QUIET = Surroundings(client_cpu_peak=0.3, hub_lag_p99_us=400, target_cpu=0.5, other_cpu=0.02, idle_cpu=1.2, waiting=0.05, stolen_cpu=0.0)


def disturbances(client_cpu: float = 0.3, median_ms: float = 5, limits: validity.Limits = validity.USUAL, **change: Any) -> str:
    around = msgspec.structs.replace(QUIET, **change)
    return " | ".join(validity.disturbances(msgspec.structs.replace(GOOD, client_cpu=client_cpu, surroundings=around), median_ms, limits))


@pytest.mark.parametrize("limits", [validity.USUAL, validity.STRICT])
def test_a_quiet_machine_disturbs_nothing(limits: validity.Limits) -> None:
    assert disturbances(limits=limits) == ""
    unseen: dict[str, Any] = {"target_cpu": None, "other_cpu": None, "idle_cpu": None, "waiting": None, "stolen_cpu": None}
    assert disturbances(limits=limits, **unseen) == "", "what could not be known is no reason"
    assert validity.disturbances(GOOD, 5, limits) == []


@pytest.mark.parametrize("limits", [validity.USUAL, validity.STRICT])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"client_cpu": 0.97}, "97% of a core: it is the client that was measured"),
        ({"hub_lag_p99_us": 1_900_000}, "the client reacted 1,900.0 ms late at its 99th percentile"),
        ({"other_cpu": 1.0, "waiting": 0.7}, "other processes used 1.00 cores, and this measurement spent 70% of its time waiting for one"),
        ({"other_cpu": 1.0, "idle_cpu": 0.1, "waiting": None}, "other processes used 1.00 cores, and 0.10 were left over"),
        ({"stolen_cpu": 0.3}, "the hypervisor took 30.0% of the CPU time"),
        ({"others_awake": {"m@b.process": 0.35}}, "another target was awake: m@b.process used 0.35 cores while this one was measured"),
    ],
)
def test_what_clearly_harms_is_a_disturbance(change: dict[str, Any], words: str, limits: validity.Limits) -> None:
    assert words in disturbances(limits=limits, **change)


def test_usual_limits_bear_a_neighbour_that_leaves_enough_over_and_strict_ones_do_not() -> None:
    for change in (
        {"other_cpu": 0.3, "idle_cpu": 0.2},
        {"other_cpu": 6.0, "idle_cpu": 8.0},
        {"stolen_cpu": 0.03},
        {"others_awake": {"m@b.process": 0.02}},
        {"hub_lag_p99_us": 4000},
    ):
        assert disturbances(**change) == ""
        assert disturbances(**change, limits=validity.STRICT) != ""
    assert disturbances(client_cpu_peak=0.85) == ""
    assert "85% of a core in its busiest second" in disturbances(client_cpu_peak=0.85, limits=validity.STRICT)


def test_threads_that_wait_for_each_other_are_no_strangers() -> None:
    assert disturbances(waiting=0.8) == ""


def test_a_slow_server_may_have_a_client_that_is_a_little_late() -> None:
    assert disturbances(hub_lag_p99_us=4000, median_ms=50, limits=validity.STRICT) == ""
    assert disturbances(hub_lag_p99_us=6000, median_ms=50, limits=validity.STRICT) != ""
