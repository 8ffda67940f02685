"""The contract of every profile, and plans as a person writes them."""

from __future__ import annotations

import math
import random
import re
from itertools import islice, pairwise

import pytest

from loadtests import plan
from loadtests.profiles import Profile, complete, resolve
from serveoff.errors import UsageError
from serveoff.registry import PROFILES
from serveoff.results import ProfileChoice


@pytest.mark.parametrize("name", PROFILES.names)
def test_every_profile_keeps_the_contract(name: str) -> None:
    profile: Profile = PROFILES.load(name)
    assert profile.summary
    assert len({o.name for o in profile.options}) == len(profile.options)
    assert all(o.minimum <= o.default <= o.maximum and o.unit for o in profile.options)
    load = resolve(ProfileChoice(name=name))
    assert load.connections >= 1
    assert load.duration_s > 0
    longer = resolve(ProfileChoice(name=name, options={"duration_s": 77}))
    assert longer.duration_s == 77
    if load.arrivals is not None:
        first, again = (list(islice(load.arrivals(random.Random(3)), 500)) for _ in range(2))
        assert first == again, "one seed, one schedule: two targets see the same arrivals"
        assert first[0] >= 0
        assert all(a <= b for a, b in pairwise(first))


def test_closed_is_n_users() -> None:
    load = resolve(ProfileChoice(name="closed", options={"users": 5}))
    assert (load.connections, load.arrivals) == (5, None)


def test_constant_is_evenly_spaced() -> None:
    load = resolve(ProfileChoice(name="constant", options={"rate_rps": 4}))
    assert load.arrivals is not None
    assert list(islice(load.arrivals(random.Random(1)), 5)) == [0, 0.25, 0.5, 0.75, 1]


def test_the_default_plan_says_all_its_numbers() -> None:
    made = plan.make()
    assert [p.name for p in made.profiles] == ["closed", "constant"]
    assert made.profiles[0].options == {"users": 8, "duration_s": 2.5}
    assert made.profiles[1].options["rate_rps"] * made.profiles[1].options["duration_s"] >= 1000, "enough samples for a p99"
    assert made.warmup_s == 1


def test_a_profile_as_a_person_writes_it() -> None:
    assert plan.parse("constant:rate_rps=400, duration_s=30") == complete(
        ProfileChoice(name="constant", options={"rate_rps": 400, "duration_s": 30})
    )
    assert plan.make(["closed:users=2"]).profiles[0].options["users"] == 2


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("close", "unknown profile 'close'", "did you mean 'closed'?"),
        ("closed:user=3", "profile 'closed' has no option 'user'", "did you mean 'users'?"),
        ("closed:users=three", "profile option 'users=three': 'three' is not a number", "constant:rate_rps=400"),
        ("closed:users", "profile option 'users': it has no value", "constant:rate_rps=400"),
        ("closed:users=2.5", "profile 'closed': users is 2.5, it must be a whole number of connections", ""),
        ("closed:users=0", "profile 'closed': users is 0, allowed is 1 to 10000 connections", "the default is 8"),
        ("constant:rate_rps=nan", "profile 'constant': rate_rps is nan, allowed is 0.1 to 1e+06 requests/s", "the default is 200"),
    ],
)
def test_a_wrong_profile_is_one_clear_sentence(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan.parse(text)
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("warmup_s", value) for value in (-1.0, math.nan, math.inf, 3601.0)),
        *(("warmup_limit_s", value) for value in (-1.0, math.nan, math.inf)),
        *(("timeout_s", value) for value in (0.0, math.nan, math.inf, -math.inf, 1e9)),
    ],
)
def test_a_wrong_plan(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"(warm-up|time limit of a request) is {re.escape(f'{value:g}')} s, allowed is .* to 3600 s"):
        plan.make(**{name: value})  # type: ignore[arg-type]
