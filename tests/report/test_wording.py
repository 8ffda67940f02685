"""Numbers and foreign text are written in one way."""

from __future__ import annotations

import pytest

from report import wording
from serveoff.results import LoadPlan, ProfileChoice


@pytest.mark.parametrize(("us", "text"), [(None, "-"), (0, "0.000"), (412, "0.412"), (1_704, "1.704"), (12_345_678, "12,345.678")])
def test_milliseconds_keep_microseconds(us: int | None, text: str) -> None:
    assert wording.milliseconds(us) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (999_600, "1 MB"), (4_815_814, "4.82 MB")])
def test_sizes(size: int, text: str) -> None:
    assert wording.size(size) == text


@pytest.mark.parametrize(("least_s", "most_s", "text"), [(1.0, 1.5, "1.00 s to 1.50 s"), (2.0, 2.0, "2.00 s"), (2.0, 1.5, "2.00 s")])
def test_the_warm_up_has_two_bounds(least_s: float, most_s: float, text: str) -> None:
    plan = LoadPlan(profiles=(), warmup_s=least_s, warmup_limit_s=most_s, timeout_s=1, seed=1)
    assert wording.warm_up(plan) == text


@pytest.mark.parametrize(("rate", "text"), [(None, "-"), (0.0, "0.0"), (98.74, "98.7"), (99.96, "100"), (12345.4, "12,345")])
def test_rates(rate: float | None, text: str) -> None:
    assert wording.rate(rate) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1.23e-6, "1.2e-6"), (0.5, "5.0e-1"), (float("nan"), "nan"), (float("inf"), "inf")]
)
def test_differences(value: float, text: str) -> None:
    assert wording.difference(value) == text


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("closed", {"users": 8.0}, "closed, 8 users"),
        ("closed", {"users": 1.0}, "closed, 1 user"),
        ("closed", {"duration_s": 4.0, "users": 8.0}, "closed, 8 users, 4 s"),
        ("constant", {"connections": 32.0, "duration_s": 6.0, "rate_rps": 200.0}, "constant, 200/s, 32 connections, 6 s"),
        ("spike", {"rate_rps": 12.5, "rise_s": 3.0, "factor": 4.0}, "spike, 12.5/s, factor 4, rise 3 s"),
    ],
)
def test_profiles(name: str, options: dict[str, float], text: str) -> None:
    assert wording.profile(ProfileChoice(name=name, options=options)) == text


def test_a_profile_is_named_as_briefly_as_its_neighbours_allow() -> None:
    short, long = (ProfileChoice(name="closed", options={"users": 8.0, "duration_s": duration_s}) for duration_s in (4.0, 60.0))
    assert wording.profiles([short, short])(short) == "closed, 8 users"
    assert wording.profiles([short, long])(short) == "closed, 8 users, 4 s"


def test_an_interval_that_says_nothing_is_not_spelt_out() -> None:
    assert wording.between(1.0, 9.9, lambda value: f"{value:g}") == "1 to 9.9"
    assert wording.between(0.1, 7883.0, lambda value: f"{value:g}") == "wider than tenfold"


def test_foreign_text_cannot_steer_a_terminal() -> None:
    assert wording.clean("a\x1b[31mred\n\tb \u202egnp") == "a�[31mred b �gnp"
    assert len(wording.clean("x" * 5000)) == 400
