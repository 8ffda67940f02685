"""Profiles that choose their next load, against servers whose true limit is known: a search is pure functions of its probes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import measure
from loadtests.objective import within
from loadtests.profiles import complete, searching
from loadtests.search import Found, Seen, search
from serveoff.errors import UsageError
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


def test_a_level_that_is_never_kept_is_said_so() -> None:
    found = run("capacity", server_of(0.0))
    assert found.capacity_rps is None
    assert found.seen.reasons == ("no arrival rate from 0.39 requests/s on kept p99 <= 50 ms with errors <= 0.1 % twice",)


@pytest.mark.parametrize("precision", [0.5, 5.0])
@pytest.mark.parametrize("start", [0.5, 100.0, 1_000_000.0])
def test_a_server_that_answers_alike_each_time_is_searched_to_the_end(start: float, precision: float) -> None:
    for limit in (0.0, 0.7, 47.3, 994.0, 31_300.0, 999_000.0, 2e6):
        found = run("capacity", server_of(limit), start_rps=start, precision_percent=precision)
        assert (found.capacity_rps is None) == (limit < 0.5)
        assert len(found.probes) < 60, "the bound is for moody ones"


def moody(is_bad: Callable[[float, int], bool]) -> Serve:
    """Hopeless in its nth probe at a rate, from 1, where `is_bad` says so, else fast."""
    tries: Counter[float] = Counter()

    def serve(rate: float) -> Seen:
        tries[rate] += 1
        return Seen(measured(rate, 500 if is_bad(rate, tries[rate]) else 5))

    return serve


def rates(found: Found) -> list[float]:
    return [probe.profile.options["rate_rps"] for probe in found.probes]


def test_one_hiccup_does_not_bound_the_capacity() -> None:
    found = run("capacity", moody(lambda rate, n: rate == 200 and n == 1))
    assert rates(found)[:4] == [100, 200, 200, 400], "a failing probe is repeated once"
    assert found.capacity_rps is not None
    assert found.capacity_rps >= 500_000, "it is good at any rate"
    assert found.seen.reasons == ()


def test_every_rate_may_have_one_hiccup() -> None:
    found = run("capacity", moody(lambda rate, n: rate > 300 or n == 1))
    assert found.capacity_rps is not None
    assert 285 <= found.capacity_rps <= 300
    assert max(Counter(rates(found)).values()) == 3, "one failed, two kept the level"


def test_a_rate_that_fails_two_of_three_is_not_the_capacity() -> None:
    found = run("capacity", moody(lambda rate, n: rate > 400 or (rate > 300 and n > 1)))
    assert found.capacity_rps is not None
    assert 285 <= found.capacity_rps <= 300


def test_a_search_without_end_is_ended_and_claims_nothing() -> None:
    """Each rate fails when it is to be confirmed."""
    found = run("capacity", moody(lambda rate, n: n > 1), start_rps=1_000_000, precision_percent=0.5)
    assert (len(found.probes), found.capacity_rps) == (60, None)
    (reason,) = found.seen.reasons
    assert reason.endswith("twice in 60 probes")


HELD_UP = ("the load process used 99% of a core",)
TOO_FAST = ("beyond 80% it is the client that is measured",)


def client_of(limit_rps: float, serve: Serve, **why: tuple[str, ...]) -> Serve:
    """A client that is itself the limit from a rate on, for this reason."""
    return lambda rate: replace(serve(rate), **why) if rate >= limit_rps else serve(rate)  # type: ignore[arg-type]


def test_what_the_client_cannot_do_is_not_the_servers_capacity() -> None:
    found = run("capacity", client_of(1000, server_of(1e9), disturbances=HELD_UP))
    lowest = min(probe.profile.options["rate_rps"] for probe in found.probes if probe.verdict == "INVALID")
    assert found.capacity_rps is None
    assert found.seen.reasons == (f"at {lowest:g} requests/s {HELD_UP[0]}",)
    assert rates(found)[4:7] == [1600] * 3, "a void probe has three attempts"
    assert all((probe.kept is None) == (probe.profile.options["rate_rps"] >= 1000) for probe in found.probes)


def test_a_rate_beyond_the_client_supports_no_capacity_and_is_tried_once() -> None:
    found = run("capacity", client_of(800, server_of(1e9), too_fast=TOO_FAST))
    beyond = [rate for rate in rates(found) if rate >= 800]
    assert found.capacity_rps is None
    assert found.seen.reasons == (f"at {min(beyond):g} requests/s {TOO_FAST[0]}",)
    assert len(beyond) == len(set(beyond)), "it would be the same the next time"
    assert all(probe.kept is None for probe in found.probes if probe.profile.options["rate_rps"] >= 800)


@pytest.mark.parametrize("why", [{"too_fast": TOO_FAST}, {"disturbances": HELD_UP}])
def test_a_capacity_that_the_client_can_reach_is_found_below_its_limit(why: dict[str, tuple[str, ...]]) -> None:
    found = run("capacity", client_of(800, server_of(500), **why))
    assert found.capacity_rps is not None
    assert 475 <= found.capacity_rps <= 500
    assert found.seen.reasons == ()


def test_a_search_that_begins_beyond_the_client_ends_at_once() -> None:
    found = run("capacity", client_of(50, server_of(1e9), disturbances=HELD_UP))
    assert (len(found.probes), found.capacity_rps) == (3, None)
    assert found.seen.reasons == (f"at 100 requests/s {HELD_UP[0]}",)


def test_a_faulty_probe_keeps_no_level() -> None:
    """Within the objective, which allows 1 % unsent, but INVALID all the same."""
    unsent = ("only 995 of 1000 requests that were due could be sent",)
    found = run("capacity", lambda rate: Seen(measured(rate, 5), faults=unsent if rate > 300 else ()))
    assert found.capacity_rps is not None
    assert 285 <= found.capacity_rps <= 300
    assert found.seen.reasons == ()
    never = run("capacity", lambda rate: Seen(measured(rate, 5), faults=unsent))
    assert never.capacity_rps is None
    assert never.seen.reasons[1:] == (f"at 0.39 requests/s {unsent[0]}",), "the row has its probe's own reasons, too"


def test_an_objective_cannot_allow_more_errors_than_a_valid_probe_has() -> None:
    with pytest.raises(UsageError, match=r"allowed is 0 to 0\.1 %"):
        complete(ProfileChoice(name="capacity", options={"errors_percent": 1}))


def test_only_what_may_be_over_is_worth_another_attempt() -> None:
    assert Seen(None, disturbances=HELD_UP).repeat
    assert not Seen(None, disturbances=HELD_UP, too_fast=TOO_FAST).repeat
    assert Seen(None, ("a fault",), HELD_UP, too_fast=TOO_FAST).reasons == ("a fault", *TOO_FAST, *HELD_UP)


def test_a_target_that_dies_ends_the_search() -> None:
    found = run("capacity", lambda rate: Seen(None, ("the target died under load: exit 137",), fatal=True))
    assert (len(found.probes), found.capacity_rps) == (1, None)
    assert found.seen.reasons == ("the target died under load: exit 137",)


def test_probes_at_a_low_rate_last_long_enough_for_their_percentile() -> None:
    found = run("capacity", server_of(30), start_rps=20, duration_s=2)
    for probe in found.probes:
        assert probe.profile.options["duration_s"] == pytest.approx(min(60, 1000 / probe.profile.options["rate_rps"]), abs=1)
    median = run("capacity", server_of(30), start_rps=20, duration_s=1, percentile=50)
    assert median.probes[0].profile.options["duration_s"] == 2, "40 arrivals, so that 20 replies are sure"


def test_a_sweep_goes_past_saturation_and_back() -> None:
    found = run("sweep", server_of(300), start_rps=50)
    assert [p.profile.options["rate_rps"] for p in found.probes] == [50, 100, 200, 400, 800, 50]
    assert found.seen.measurement is not None
    assert found.seen.measurement.offered_rps == 800, "the highest throughput stands for the row"
    assert run("sweep", server_of(1e9), most=3).probes[-1].profile.options["rate_rps"] == 50, "a server that is never saturated"
    assert found.seen.reasons == ()


def test_a_sweep_stands_on_a_valid_probe() -> None:
    """Past saturation the target's faults make probes INVALID: that is how a sweep ends."""
    slow = server_of(300)
    found = run("sweep", lambda rate: replace(slow(rate), faults=("only 10 of 11 could be sent",) if rate > 300 else ()), start_rps=50)
    assert rates(found) == [50, 100, 200, 400, 800, 50]
    assert found.seen.measurement is not None
    assert (found.seen.measurement.offered_rps, found.seen.reasons) == (200, ())


def test_a_sweep_that_the_client_ends_says_so_and_stands_on_what_was_valid() -> None:
    found = run("sweep", client_of(300, server_of(1e9), disturbances=HELD_UP), start_rps=50)
    assert rates(found) == [50, 100, 200, 400, 400, 400, 50]
    assert found.seen.measurement is not None
    assert (found.seen.measurement.offered_rps, found.seen.reasons) == (200, (f"at 400 requests/s {HELD_UP[0]}",))
    beyond = run("sweep", client_of(300, server_of(1e9), too_fast=TOO_FAST), start_rps=50)
    assert rates(beyond) == [50, 100, 200, 400, 50]
    assert beyond.seen.reasons == (f"at 400 requests/s {TOO_FAST[0]}",)


def test_a_sweep_of_void_probes_has_their_reasons() -> None:
    found = run("sweep", client_of(1, server_of(1e9), disturbances=HELD_UP), start_rps=50)
    assert rates(found) == [50] * 3
    assert found.seen.reasons == (f"at 50 requests/s {HELD_UP[0]}",)


def test_a_void_probe_after_the_way_up_does_not_speak_against_a_sweep() -> None:
    for limit, void in ((300, [800.0]), (300, [800.0, 50.0]), (1e9, [50.0])):  # one beyond saturation, and the way back
        visits: Counter[float] = Counter()

        def serve(rate: float, limit: float = limit, void: list[float] = void, visits: Counter[float] = visits) -> Seen:
            visits[rate] += 1
            again = rate != 50 or visits[rate] > 1
            return replace(server_of(limit)(rate), disturbances=HELD_UP if rate in void and again else ())

        found = run("sweep", serve, start_rps=50, most=4 if limit > 800 else 16)
        assert found.seen.measurement is not None
        assert (found.seen.measurement.offered_rps, found.seen.reasons) == (400, ())


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
