"""What can one load process send? `python -m bench.clients`: ours against Locust's own users, on servers that answer at once.

REST: nginx with a fixed reply, where it is installed, else our null server; gRPC: our null server. The server has a core of its own, the
clients another. Every round measures all of them, in a shuffled order; ratios are taken within a round. wrk and h2load say what the servers
themselves can answer: where that is near what a client reached, it is the server that was measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench import witnesses
from bench.figures import Goal, figure, ratio
from bench.machine import cores, pinned
from bench.witnesses import Request
from loadtests import calibration, crew, handover, measure, merge
from loadtests.handover import NullJob, NullService, Payloads
from loadtests.plan import make
from serveoff import process, storage
from serveoff.console import Console
from serveoff.errors import MissingToolError, ServeoffError
from serveoff.launch import Endpoint, Target
from serveoff.results import CellJob
from serveoff.wire import tensors, tfs_pb2

USERS = 8
PATHS = {"tfs_rest": "/v1/models/m:predict", "tfs_grpc": "/tensorflow.serving.PredictionService/Predict"}
HEADERS = {"Content-Type": "application/json"}
_SPARE_S = 60
_CORES_FOR_TWO = 3


class Bench:
    """One null server for each protocol, and every client on it."""

    def __init__(self, folder: Path, seconds: int, ports: Mapping[str, int], bodies: Mapping[str, bytes]) -> None:
        self._folder, self._seconds, self._ports, self._bodies = folder, seconds, ports, bodies
        self._numbers = itertools.count()

    def ours(self, protocol: str, processes: int = 1) -> float:
        """Successful replies per second, of our load processes as they are in a load test."""
        directory = self._folder / f"ours-{next(self._numbers)}"
        transport: str = "http" if protocol == "tfs_rest" else "grpc"
        sent = Payloads(transport=transport, path=PATHS[protocol], headers=HEADERS, bodies=(self._bodies[protocol],))  # type: ignore[arg-type]
        handover.pack(directory / "payloads.msgpack", sent)
        plan = make([f"closed:users={USERS},duration_s={self._seconds}"], warmup_s=0.5, warmup_limit_s=0.5, load_processes=processes)
        job = CellJob(target=self._target(protocol), protocol=protocol, profile=plan.profiles[0], plan=plan, payloads="payloads.msgpack")
        members = crew.run(job, directory, self._folder)
        lost = [member.lost for member in members if not member.finished]
        if lost:
            raise ServeoffError(f"our load process failed: {lost[0]}")
        places = [member.directory for member in members]
        facts = [storage.read(place / handover.FACTS, handover.Facts) for place in places]
        raw = [measure.records(handover.unpack(place / handover.RECORDS, handover.Columns)) for place in places]
        found = measure.measure(*merge.merge(list(zip(raw, facts, strict=True))), "")
        if found.errors:
            raise ServeoffError(f"our load process had errors: {found.error_texts}")
        return found.throughput_rps

    def locust(self, kind: str, protocol: str) -> float:
        job = self._folder / f"locust-{next(self._numbers)}.json"
        port, body = self._ports[protocol], self._bodies[protocol]
        rest = protocol == "tfs_rest"
        host = f"http://127.0.0.1:{port}" if rest else f"127.0.0.1:{port}"
        asked = {"kind": kind, "host": host, "path": PATHS[protocol], "headers": HEADERS, "body": body.decode() if rest else body.hex()}
        job.write_text(json.dumps(asked))
        file = str(Path(__file__).with_name("clients_locustfile.py"))
        command = [sys.executable, "-P", "-m", "locust", "-f", file, "--headless", "--only-summary", "-u", str(USERS), "-r", str(USERS)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        env |= {"BENCH_CLIENT": str(job), "HOME": str(self._folder), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        _run([*command, "-t", f"{self._seconds}s", "--exit-code-on-error", "0"], self._seconds + _SPARE_S, env)
        said = json.loads(job.with_suffix(".answer.json").read_text())
        if said["failures"]:
            raise ServeoffError(f"Locust's {kind} had {said['failures']} failures")
        return float(said["rps"])

    def wrk(self) -> float:
        port, body = self._ports["tfs_rest"], self._bodies["tfs_rest"]
        head = f"POST {PATHS['tfs_rest']} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        raw = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        return witnesses.wrk(Request(raw, port), USERS, self._seconds, self._folder).rps

    def h2load(self) -> float:
        file, body = self._folder / "grpc.bin", self._bodies["tfs_grpc"]
        file.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
        headers = ["-Hte: trailers", "-Hcontent-type: application/grpc"]
        url = f"http://127.0.0.1:{self._ports['tfs_grpc']}{PATHS['tfs_grpc']}"
        said = _run(["h2load", "-t1", f"-c{USERS}", "-m1", f"-D{self._seconds}", "-d", str(file), *headers, url], self._seconds + _SPARE_S)
        found = re.search(r"([\d.]+) req/s", said)
        if found is None:
            raise ServeoffError(f"h2load said no rate: {said[-300:]}")
        return float(found[1])

    def clients(self) -> dict[str, Callable[[], float]]:
        """Name -> measure it once, requests per second."""
        found: dict[str, Callable[[], float]] = {
            "REST wrk": self.wrk,
            "REST ours": lambda: self.ours("tfs_rest"),
            "REST HttpUser": lambda: self.locust("HttpUser", "tfs_rest"),
            "REST FastHttpUser": lambda: self.locust("FastHttpUser", "tfs_rest"),
            "gRPC h2load": self.h2load,
            "gRPC ours": lambda: self.ours("tfs_grpc"),
            "gRPC Locust's example": lambda: self.locust("grpc", "tfs_grpc"),
        }
        if len(os.sched_getaffinity(0)) >= _CORES_FOR_TWO - 1:  # the server has one beside them
            found["REST ours, two processes"] = lambda: self.ours("tfs_rest", 2)
        return found

    def _target(self, protocol: str) -> Target:
        return Target(
            id=f"null@{protocol}",
            server="null",
            launcher="process",
            artifact_id="null",
            artifact_path="",
            endpoints=(Endpoint(protocol=protocol, host="127.0.0.1", port=self._ports[protocol], model_name="m"),),
            threads=1,
            log="",
            command=(),
            started_at="2026-01-01T00:00:00+00:00",
            ready_s=0.0,
        )


def goals(samples: Mapping[str, list[float]]) -> list[Goal]:
    wanted = [
        ("one process of ours over HttpUser", "REST ours", "REST HttpUser", 10.0),
        ("one process of ours over FastHttpUser", "REST ours", "REST FastHttpUser", 3.0),
        ("our gRPC user over Locust's gRPC example", "gRPC ours", "gRPC Locust's example", 1.5),
        ("two processes of ours over one", "REST ours, two processes", "REST ours", 1.7),
    ]
    return [
        Goal(name, "times", ratio(samples[over], samples[under]), limit, rising=True)
        for name, over, under, limit in wanted
        if over in samples and under in samples
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.clients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within a round")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="serveoff-clients-"))
    try:
        witnesses.require("wrk", "h2load", "taskset")
        if importlib.util.find_spec("grpc_interceptor") is None:
            raise MissingToolError("grpc-interceptor is not installed: Locust's gRPC example needs it", hint="pip install grpc-interceptor")
        with _servers(folder) as (ports, bodies, what):
            os.sched_setaffinity(0, os.sched_getaffinity(0) - {cores().server} or {cores().client})
            samples = _measure(Bench(folder, options.seconds, ports, bodies), options)
    except ServeoffError as error:
        Console().say(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _show(samples, options, what)
    return 0


def _measure(bench: Bench, options: argparse.Namespace) -> dict[str, list[float]]:
    clients, rng = bench.clients(), random.Random(options.seed)
    samples: dict[str, list[float]] = defaultdict(list)
    with Console().bar("clients", options.rounds * len(clients)) as bar:
        for number in range(options.rounds):
            for done, name in enumerate(rng.sample(sorted(clients), len(clients)), start=1):
                samples[name].append(clients[name]())
                bar.advance_to(number * len(clients) + done, f"{name}: {samples[name][-1]:,.0f}/s")
    return samples


def _show(samples: Mapping[str, list[float]], options: argparse.Namespace, what: str) -> None:
    print(f"{USERS} connections, back to back, {options.rounds} rounds of {options.seconds} s; {what}\n")
    print(f"{'client':26} {'req/s':>9}  (median; smallest and largest round)")
    for name in sorted(samples, reverse=True):
        found = figure(samples[name])
        print(f"{name:26} {found.median:9,.0f}  {found.low:,.0f} to {found.high:,.0f}")
    print("\nGoals, on the median of the rounds' ratios:")
    for goal in goals(samples):
        spread = f"rounds {goal.value.low:.2f} to {goal.value.high:.2f}"
        print(f"  {goal.name:42} {goal.value.median:6.2f} times (goal >= {goal.limit:g}; {spread}): {goal.verdict}")
    if "REST ours, two processes" not in samples:
        print("  two processes of ours over one: not measured: that needs a core for the server and two for the clients, at least three")


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[dict[str, int], dict[str, bytes], str]]:
    """Ports and bodies by protocol, and what the servers are, in words."""
    image = np.random.default_rng(3).random((1, 8, 8, 1), np.float32)
    request = tfs_pb2.PredictRequest(model_spec=tfs_pb2.ModelSpec(name="m"))
    tensors.write(request.inputs["x"], image)
    response = tfs_pb2.PredictResponse()
    tensors.write(response.outputs["y"], np.zeros((1, 10), np.float32))
    row = json.dumps({"instances": [{"x": np.round(image[0], 3).tolist()}]})
    reply = json.dumps({"predictions": [[0.125] * 10]}).encode()
    bodies = {"tfs_rest": row.encode(), "tfs_grpc": request.SerializeToString()}
    services = (NullService(transport="http", reply=reply), NullService(transport="grpc", reply=response.SerializeToString()))
    handover.pack(folder / "null.msgpack", NullJob(services=services))
    job, env, core = folder / "null.msgpack", process.environment(folder), cores().server
    with calibration.null_server(job, env, folder / "null.log", (core,)) as (rest, grpc), _nginx(folder, reply.decode()) as port:
        what = f"REST: {'nginx' if port else 'the null server'}, gRPC: the null server; {len(row)} and {len(bodies['tfs_grpc'])} B sent"
        yield {"tfs_rest": port or rest, "tfs_grpc": grpc}, bodies, what


@contextmanager
def _nginx(folder: Path, reply: str) -> Iterator[int]:
    """One worker with a fixed reply; its port, 0 where it is not installed."""
    if shutil.which("nginx") is None:
        yield 0
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit; events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; keepalive_requests 1000000000; {kept}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{reply}'; }} }} }}\n"
    )
    server = subprocess.Popen(pinned(cores().server, ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]))
    try:
        end = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > end or server.poll() is not None:
                raise ServeoffError("nginx does not listen", hint="its message stands above")
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def _run(command: list[str], limit_s: float, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit_s, env=env)
    if done.returncode != 0:
        raise ServeoffError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
