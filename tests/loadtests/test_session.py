"""A session of Locust users on a stand-in, in a process of its own: importing Locust patches the process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadtests import handover
from loadtests.handover import Payloads
from serveoff import storage
from serveoff.results import CellJob, LoadPlan, ProfileChoice

if TYPE_CHECKING:
    from .conftest import GrpcStandIn, MakeTarget
    from .http_stand_in import HttpStandIn

pytestmark = pytest.mark.integration

REQUESTS = 60
_SESSION = """
import gc, json, sys
from pathlib import Path
from locust.env import Environment
from loadtests import handover
from loadtests.locust.recorder import Recorder
from loadtests.locust.users import Session
from loadtests.profiles import resolve
from serveoff import storage
from serveoff.results import CellJob

job = storage.read(Path(sys.argv[1]), CellJob)
payloads = handover.unpack(Path(sys.argv[1]).parent / job.payloads, handover.Payloads)
environment = Environment()
environment.create_local_runner()
session = Session(job, payloads, resolve(job.profile), Recorder())
seen = []

def count(exception, **_):
    seen.append(exception is None)
    if len(seen) == int(sys.argv[2]):
        session.stop_ns = 0

environment.events.request.add_listener(count)
session.begin(endless=True)
number, client = session.join()
gc.collect()
gc.disable()
session.drive(environment, number, client)
print(json.dumps({"good": sum(seen), "bad": len(seen) - sum(seen), "unreachable": gc.collect()}))
"""


def run(job: Path, requests: int = REQUESTS) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _SESSION, str(job), str(requests)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def job_file(directory: Path, make_target: MakeTarget, port: int, path: str, *, grpc: bool = False, timeout_s: float = 5) -> Path:
    bodies = Payloads(transport="grpc" if grpc else "http", path=path, headers={}, bodies=(b"[]",))
    handover.pack(directory / "payloads.msgpack", bodies)
    profile = ProfileChoice(name="closed", options={"users": 1, "duration_s": 1})
    plan = LoadPlan(profiles=(profile,), warmup_s=0.1, timeout_s=timeout_s, seed=1)
    job = CellJob(target=make_target(port), protocol="tfs_rest", profile=profile, plan=plan, payloads="payloads.msgpack")
    storage.write(directory / handover.JOB, job)
    return directory / handover.JOB


@pytest.mark.parametrize("path", ["/500", "/silent", "/garbage", "/stall"])
def test_a_failed_request_leaves_no_garbage(http_stand_in: HttpStandIn, make_target: MakeTarget, tmp_path: Path, path: str) -> None:
    """The collector rests from the warm-up to the window's end: what only it can free would pile up, request by request."""
    told = run(job_file(tmp_path, make_target, http_stand_in.port, path, timeout_s=0.02 if path == "/stall" else 5))
    assert (told["good"], told["bad"]) == (0, REQUESTS)
    assert told["unreachable"] < REQUESTS / 2


def test_a_refused_connection_leaves_no_garbage(make_target: MakeTarget, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = run(job_file(tmp_path, make_target, port, "/ok"))
    assert told["bad"] == REQUESTS
    assert told["unreachable"] < REQUESTS / 2


def test_a_failed_grpc_call_leaves_no_garbage(grpc_stand_in: GrpcStandIn, make_target: MakeTarget, tmp_path: Path) -> None:
    told = run(job_file(tmp_path, make_target, grpc_stand_in.port, "/x/UNAVAILABLE", grpc=True))
    assert told["bad"] == REQUESTS
    assert told["unreachable"] < REQUESTS / 2
