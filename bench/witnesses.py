"""wrk, h2load and plain Locust on one fixed server, and what each of them saw."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from loadtests import witnesses
from loadtests.handover import Payloads
from loadtests.witnesses import Seen, run
from loadtests.witnesses import h2load as by_h2load
from loadtests.witnesses import wrk as by_wrk
from serveoff.launch import Endpoint

LOCUST_USERS = 4
"""Each is busy for some 60 % of its time. After the stop they all send in the same moment, and eight would wait for each other."""
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "taskset": "util-linux"}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: `raw` is the whole of it as our own load process sends it."""

    raw: bytes
    port: int

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(protocol="tfs_rest", host="127.0.0.1", port=self.port, model_name="")

    @property
    def payloads(self) -> Payloads:
        return Payloads(transport="http", path=self.path, headers={"Content-Type": self.content_type}, bodies=(self.body,))

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
    """As `loadtests.witnesses` does it, with one request."""
    return by_wrk.load([request.raw], request.endpoint, connections, seconds, work)


def h2load(request: Request, rate: float, connections: int, seconds: int, work: Path) -> Seen:
    return by_h2load.load(request.payloads, request.endpoint, rate, connections, seconds, work)


def plain_locust(request: Request, rate: float, seconds: int, work: Path) -> Seen:
    """Locust with FastHttpUser and constant_throughput; what its own statistics say."""
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


def require(*programs: str) -> None:
    """Raises MissingToolError with what installs the first that is not there."""
    for program in programs:
        witnesses.require(program, f"apt-get install {PACKAGES[program]}")
