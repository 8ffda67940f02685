"""Profiles that choose their next load, against servers whose true limit is known: a search is pure functions of its probes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import measure
from loadtests.objective import within
from loadtests.profiles import complete, searching
from loadtests.search import Found, Seen, search
from serveoff.results import Measurement, ProfileChoice

Serve = Callable[[float], Seen]


def measured(rate: float, latency_ms: float, *, errors: int = 0, unsent: int = 0, requests: int = 1000) -> Measurement:
    latencies = np.full(requests - errors, int(latency_ms * 1e6), np.int64)
    return Measurement(
        window_s=requests / rate,
        cut_s=(1, 0.2),
        requests=requests,
        errors={"timeout": errors} if errors else {},
        error_texts={},
        unsent=unsent,
        offered_rps=rate,
        throughput_rps=(requests - errors) / (requests + unsent) * rate,
        connections=64,
        latency_hdr=measure.histogram(latencies),
        service_hdr=measure.histogram(latencies),
        intervals=(),
        client_cpu=0.1,
        raw="raw.npz",
    )


def server_of(limit_rps: float) -> Serve:
    """Fast up to its limit, hopeless beyond it."""
    return lambda rate: Seen(measured(rate, 5 if rate <= limit_rps else 500, unsent=0 if rate <= limit_rps else 100))


def run(name: str, serve: Serve, **options: float) -> Found:
    choice = complete(ProfileChoice(name=name, options=options))
    profile = searching(choice)
    assert profile is not None
    return search(profile, choice, lambda load, _: serve(load.options["rate_rps"]))


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 50_000), st.sampled_from([1.0, 5.0, 20.0]))
def test_the_capacity_is_found_within_the_precision_and_confirmed(limit: float, precision: float) -> None:
    found = run("capacity", server_of(limit), precision_percent=precision)
    assert found.capacity_rps is not None
    assert found.capacity_rps <= limit <= found.capacity_rps * (1 + precision / 100) * 1.01, "three figures of the rate are kept"
    assert sum(p.profile.options["rate_rps"] == found.capacity_rps and p.kept is True for p in found.probes) == 2
    assert found.seen.reasons == ()
    assert found.seen.measurement is not None
    assert found.seen.measurement.offered_rps == found.capacity_rps
    assert len(found.probes) < 40


def test_a_rate_that_fails_its_confirmation_is_not_the_capacity() -> None:
    tries: dict[float, int] = {}

    def moody(rate: float) -> Seen:
        tries[rate] = tries.get(rate, 0) + 1
        return Seen(measured(rate, 5 if rate <= 300 or (rate <= 400 and tries[rate] == 1) else 500))

    found = run("capacity", moody)
    assert found.capacity_rps is not None
    assert 285 <= found.capacity_rps <= 300


def test_a_level_that_is_never_kept_is_said_so() -> None:
    found = run("capacity", server_of(0.0))
    assert found.capacity_rps is None
    assert found.seen.reasons == ("no arrival rate from 0.39 requests/s on kept p99 <= 50 ms with errors <= 0.1 % twice",)


def test_what_the_client_cannot_do_is_not_the_servers_capacity() -> None:
    held_up = ("the load process used 99% of a core",)
    found = run("capacity", lambda rate: Seen(measured(rate, 5), disturbances=held_up if rate > 1000 else ()))
    assert found.capacity_rps is None
    assert found.seen.reasons == ("at 1600 requests/s the load process used 99% of a core",)
    assert [p.kept for p in found.probes[-3:]] == [None] * 3, "a void probe has three attempts"


def test_a_target_that_dies_ends_the_search() -> None:
    found = run("capacity", lambda rate: Seen(None, ("the target died under load: exit 137",), fatal=True))
    assert (len(found.probes), found.capacity_rps) == (1, None)
    assert found.seen.reasons == ("the target died under load: exit 137",)


def test_probes_at_a_low_rate_last_long_enough_for_their_percentile() -> None:
    found = run("capacity", server_of(30), start_rps=20, duration_s=2)
    for probe in found.probes:
        assert probe.profile.options["duration_s"] == pytest.approx(min(60, 1000 / probe.profile.options["rate_rps"]), abs=1)


def test_a_sweep_goes_past_saturation_and_back() -> None:
    found = run("sweep", server_of(300), start_rps=50)
    assert [p.profile.options["rate_rps"] for p in found.probes] == [50, 100, 200, 400, 800, 50]
    assert found.seen.measurement is not None
    assert found.seen.measurement.offered_rps == 800, "the highest throughput stands for the row"
    assert run("sweep", server_of(1e9), most=3).probes[-1].profile.options["rate_rps"] == 50, "a server that is never saturated"


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"latency_ms": 5}, True),
        ({"latency_ms": 51}, False),
        ({"latency_ms": 5, "errors": 1}, True),
        ({"latency_ms": 5, "errors": 2}, False),
        ({"latency_ms": 5, "unsent": 5}, True),
        ({"latency_ms": 5, "unsent": 20}, False),  # of 1,020 that were due 20 got no answer: the p99 is infinite
        ({"latency_ms": 5, "errors": 1000}, False),
    ],
)
def test_a_level_counts_every_request_that_was_due(changes: dict[str, float], kept: bool) -> None:
    assert within(measured(100, **changes), 99, 50, 0.001) is kept  # type: ignore[arg-type]
