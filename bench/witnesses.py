"""wrk, h2load and plain Locust on one fixed server, and what each of them saw."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.figures import percentile
from loadtests import witness
from loadtests.witness import Seen, run
from serveoff.contract import Endpoint
from serveoff.errors import ServeoffError

LOCUST_USERS = 8
_START_STEP_MS = 103
"""Modulo the 20 ms between two requests of one of eight connections at 400/s: 3 ms."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: `raw` is the whole of it as our own load process sends it."""

    raw: bytes
    port: int

    @property
    def path(self) -> str:
        return self.raw.split(b" ", 2)[1].decode()

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def content_type(self) -> str:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("content-type:"))


def wrk(request: Request, connections: int, seconds: int, work: Path) -> Seen:
    """As `loadtests.witness` does it, with one request."""
    endpoint = Endpoint(protocol="tfs_rest", host="127.0.0.1", port=request.port, model_name="")
    return witness.wrk([request.raw], endpoint, connections, seconds, work)


def h2load(request: Request, rate: float, connections: int, seconds: int, work: Path) -> Seen:
    """A given rate, evenly dealt out to the connections; percentiles from its log of every request between the start and the end.

    Left to itself it would start all connections at once, and they would go on asking in the same instant: bursts, not a rate. One starts
    after the other, in steps that spread them over the time between two requests.
    """
    body, log = work / "body.bin", work / "h2load.log"
    body.write_bytes(request.body)
    log.unlink(missing_ok=True)
    started_s = _START_STEP_MS * connections / 1000
    total = round(rate * (seconds + started_s + 1))
    url = f"http://127.0.0.1:{request.port}{request.path}"
    command = ["h2load", "--h1", "-t1", f"-c{connections}", "-m1", f"-n{total}", f"--rps={rate / connections:g}"]
    command += ["-r1", f"--rate-period={_START_STEP_MS}ms", f"-d{body}", f"-Hcontent-type: {request.content_type}"]
    run([*command, f"--log-file={log}", url], seconds + 3)
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    bad = sum(line[1] != "200" for line in lines)
    if bad:
        raise ServeoffError(f"h2load had {bad} failed requests")
    start_us = min(int(line[0]) for line in lines) + started_s * 1e6
    found = sorted(float(line[2]) for line in lines if start_us <= int(line[0]) < start_us + seconds * 1e6)
    return Seen(len(found), len(found) / seconds, percentile(found, 0.5), percentile(found, 0.99))


def plain_locust(request: Request, rate: float, seconds: int, work: Path) -> Seen:
    """Locust with an HttpUser and constant_throughput; what its own statistics say."""
    job = work / "plain.json"
    answer = job.with_suffix(".answer.json")
    answer.unlink(missing_ok=True)
    asked = {
        "host": f"http://127.0.0.1:{request.port}",
        "path": request.path,
        "body": request.body.decode(),
        "headers": {"Content-Type": request.content_type},
        "per_user_rps": rate / LOCUST_USERS,
    }
    job.write_text(json.dumps(asked))
    file = Path(__file__).with_name("plain_locustfile.py")
    users = str(LOCUST_USERS)
    command = [sys.executable, "-P", "-m", "locust", "-f", str(file), "--headless", "--only-summary", "-u", users, "-r", users]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    run([*command, "-t", f"{seconds}s", "--exit-code-on-error", "0"], seconds, env | {"BENCH_PLAIN": str(job), "HOME": str(work)})
    said = json.loads(answer.read_text())
    return Seen(said["requests"], said["rps"], said["p50_ms"] * 1000, said["p99_ms"] * 1000)
