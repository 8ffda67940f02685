"""The pure parts of the benchmarks: what is made of the clients' words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures, machine, memory, summary
from bench.figures import Figure, Goal, Sample


def sample(rps: float, p50_us: float) -> Sample:
    return Sample(requests=round(rps * 2), seconds=2.0, p50_us=p50_us, p99_us=p50_us * 3)


def test_a_figure_is_the_median_with_the_smallest_and_the_largest_value() -> None:
    assert figures.figure([5.0, 1.0, 2.0]) == Figure(median=2.0, low=1.0, high=5.0, rounds=3)
    assert figures.figure([1.0, 2.0]).median == 1.5
    with pytest.raises(ValueError, match="at least one round"):
        figures.figure([])


def test_ratios_and_differences_are_taken_round_by_round() -> None:
    assert figures.ratio([10.0, 30.0], [5.0, 10.0]) == Figure(2.5, 2.0, 3.0, 2)
    assert figures.difference([10.0, 30.0], [5.0, 10.0]) == Figure(12.5, 5.0, 20.0, 2)
    with pytest.raises(ValueError, match="shorter"):
        figures.ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("median", "rising", "met", "verdict"),
    [
        (3.0, True, True, "met"),
        (2.4, True, False, "missed by 20%"),
        (3.0, False, True, "met"),
        (4.5, False, False, "missed by 50%"),
        (-1.0, False, True, "met"),
    ],
)
def test_a_goal_says_by_how_much_it_was_missed(median: float, rising: bool, met: bool, verdict: str) -> None:
    goal = Goal("a goal", "x", Figure(median, median, median, 1), 3.0, rising=rising)
    assert goal.met is met
    assert goal.verdict == verdict
    assert json.loads(json.dumps(goal.as_json()))["met"] is met


@given(values=st.lists(st.integers(0, 1000), min_size=1, max_size=200), share=st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values: list[int], share: float) -> None:
    ascending = sorted(values)
    found = figures.percentile(ascending, share)

    def covered(limit: float) -> float:
        return sum(value <= limit for value in values) / len(values)

    assert covered(found) >= share
    assert not any(covered(value) >= share for value in values if value < found)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)


def test_the_last_line_of_a_client_is_read() -> None:
    said = 'Running 1s test\n{"requests": 10, "seconds": 2.0, "p50_us": 90, "p99_us": 190.5, "refused": 1, "broken": 0}\n'
    client = figures.read_client(said)
    assert (client.requests, client.p99_us, client.refused) == (10, 190.5, 1)


@pytest.mark.parametrize("said", ["", "wrk: unable to connect", '{"requests": 10}', '{"requests": "ten"}'])
def test_anything_else_is_shown_as_the_client_said_it(said: str) -> None:
    with pytest.raises(ValueError, match="the load client said"):
        figures.read_client(said)


def test_the_log_of_h2load_is_read() -> None:
    client = figures.read_h2load_log("1000000\t200\t500\n1000600\t200\t400\n1001100\t503\t900\n")
    assert (client.requests, client.refused, client.p50_us, client.p99_us) == (3, 1, 500, 900)
    assert client.seconds == pytest.approx(0.002)
    with pytest.raises(ValueError, match="no request"):
        figures.read_h2load_log("")


def test_refused_requests_are_no_throughput() -> None:
    refused = Sample(requests=10, seconds=2.0, p50_us=1.0, p99_us=1.0, refused=4)
    assert refused.rps == 3.0


def test_goals_compare_with_the_fastest_rival_and_with_each_rival_at_concurrency_1() -> None:
    samples = {
        "serveoff REST c1": [sample(100, 200), sample(100, 220)],
        "serveoff REST c8": [sample(4000, 500), sample(2000, 500)],
        "in process": [sample(1, 50), sample(1, 60)],
        "FastAPI REST c1": [sample(100, 100), sample(100, 100)],
        "FastAPI REST c8": [sample(1000, 500), sample(500, 500)],
        "LitServe REST c1": [sample(100, 400), sample(100, 400)],
        "LitServe REST c8": [sample(10, 500), sample(5000, 500)],
    }
    throughput, fast, slow, overhead = summary.goals(samples, ["FastAPI", "LitServe"])
    assert "LitServe" in throughput.name  # the larger median, though FastAPI won a round
    assert throughput.value.median == pytest.approx((400 + 0.4) / 2)
    assert (fast.met, slow.met) == (False, True)
    assert (overhead.value.median, overhead.limit, overhead.met) == (155.0, 400.0, True)


def test_goals_whose_cells_were_not_measured_are_left_out() -> None:
    assert summary.goals({"in process": [sample(1, 50)]}, []) == []
    on, off = [sample(200, 1)], [sample(100, 1)]
    (batching,) = summary.goals({"serveoff batching on REST c32": on, "serveoff batching off REST c32": off}, [])
    assert batching.value.median == 2.0
    assert batching.met


def test_memory_is_compared_with_its_value_after_the_first_50000_requests() -> None:
    assert memory.settled_at(1_000_000) == 50_000
    assert memory.settled_at(1000) == 500
    growth = memory.Growth(
        settled=500, requests=1000, settled_bytes=100, last_bytes=106, peak_bytes=106, seconds=1.0, kinds={}, unexpected={}
    )
    assert growth.goal().value.median == pytest.approx(6.0)
    assert not growth.goal().met


def test_server_and_client_get_cores_that_we_may_use() -> None:
    cores = machine.cores()
    assert machine.pinned(cores.server, ["true"])[:3] == ["taskset", "--cpu-list", str(cores.server)]
    assert cores.separate == (cores.server != cores.client)
