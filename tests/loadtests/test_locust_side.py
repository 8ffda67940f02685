"""Parts of the Locust side that need no Locust."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from loadtests.locust.buckets import bucket
from loadtests.locust.pacing import Alarm, Schedule


@given(st.floats(0.001, 3_600_000))
def test_a_bucket_is_within_one_percent(milliseconds: float) -> None:
    assert abs(bucket(milliseconds) - milliseconds) <= 0.01 * milliseconds


def test_buckets_are_few_ordered_and_never_zero() -> None:
    values = [bucket(10 ** (exponent / 100)) for exponent in range(-300, 500)]
    assert values == sorted(values)
    assert len({bucket(n / 1000) for n in range(1, 60_000)}) < 800
    assert bucket(0) > 0


def test_an_alarm_never_rings_early() -> None:
    alarm = Alarm()
    try:
        for wait_ns in (2_000_000, 100_000, 0, -5_000_000):
            moment = time.monotonic_ns() + wait_ns
            alarm.wait_until(moment)
            assert time.monotonic_ns() >= moment
    finally:
        alarm.close()


def test_a_schedule_hands_out_each_arrival_once_on_the_clock() -> None:
    schedule = Schedule(lambda rng: iter([0.0, 0.25, rng.random()]), 7, 1_000)
    assert [schedule.take() for _ in range(3)] == [
        (0, 1_000),
        (1, 250_001_000),
        (2, 1_000 + round(random.Random(7).random() * 1e9)),
    ]
