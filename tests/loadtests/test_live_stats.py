"""Locust's own statistics in a process of ours: its page, its JSON and its CSV say what the records say."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

_LOCUST = """
import csv, io, json, sys
from loadtests.locust import live_stats
live_stats.install()
import locust.stats
from locust.env import Environment
latencies = json.loads(sys.stdin.read())
environment = Environment()
for ms in latencies:
    environment.stats.log_request("http", "m", ms, 10)
text = io.StringIO()
live_stats.PreciseCSV(environment, locust.stats.PERCENTILES_TO_REPORT).requests_csv(csv.writer(text))
entry = environment.stats.get("m", "http")
print(json.dumps({"page": entry.to_dict(), "json": sorted(map(float, entry.serialize()["response_times"])), "csv": text.getvalue()}))
"""


def test_page_json_and_csv_agree_with_the_latencies() -> None:
    rng = np.random.default_rng(12)
    latencies = np.round(0.4 * rng.lognormal(sigma=0.8, size=5000), 6)
    done = subprocess.run(
        [sys.executable, "-c", _LOCUST], input=json.dumps(latencies.tolist()), capture_output=True, text=True, check=True, timeout=60
    )
    told = json.loads(done.stdout)
    page = told["page"]
    assert page["min_response_time"] == pytest.approx(latencies.min(), abs=0.001)
    assert page["max_response_time"] == pytest.approx(latencies.max(), abs=0.001)
    assert page["avg_response_time"] == pytest.approx(latencies.mean())
    assert page["median_response_time"] == pytest.approx(np.median(latencies), rel=0.015)
    for name, figure in page.items():
        if name.startswith("response_time_percentile_"):
            wanted = np.quantile(latencies, float(name.rpartition("_")[2]), method="inverted_cdf")
            assert figure == pytest.approx(wanted, rel=0.015), name
    assert len(told["json"]) > 100, "buckets within 1 %, not whole milliseconds"
    assert told["json"][0] < 1
    row = next(csv.DictReader(told["csv"].splitlines()))
    for percent in (50, 90, 99):
        wanted = np.quantile(latencies, percent / 100, method="inverted_cdf")
        assert float(row[f"{percent}%"]) == pytest.approx(wanted, rel=0.015), percent
