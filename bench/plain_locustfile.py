"""Locust as it comes: its own histogram and no more. Its quicker user: what it does not see of the server is not what its client costs.

BENCH_PLAIN names a JSON file with the request; the answer goes beside it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

_JOB = Path(os.environ["BENCH_PLAIN"])
_REQUEST: dict[str, Any] = json.loads(_JOB.read_text())


class Plain(FastHttpUser):
    host = _REQUEST["host"]
    wait_time = constant_throughput(_REQUEST["per_user_rps"])

    @task
    def ask(self) -> None:
        self.client.post(_REQUEST["path"], data=_REQUEST["body"], headers=_REQUEST["headers"])


def _write(environment: Environment, **_: Any) -> None:
    total = environment.stats.total
    said = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "rps": total.total_rps,
        "p50_ms": total.get_response_time_percentile(0.5),
        "p99_ms": total.get_response_time_percentile(0.99),
    }
    _JOB.with_suffix(".answer.json").write_text(json.dumps(said))


events.quitting.add_listener(_write)  # type: ignore[no-untyped-call]
