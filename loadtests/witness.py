"""The second witness: one closed-loop REST row once more by wrk, a client that shares no line of code with ours.

perf_analyzer could do the same for gRPC, but its Debian builds need more than a package to install; h2load knows no closed loop with
several bodies. So what is not a REST row of the profile `closed` has no second witness here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serveoff.contract import Endpoint, Skip
from serveoff.errors import MissingToolError, ServeoffError
from serveoff.results import Cell, Witness

from . import handover, measure
from .payloads import FILE

PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client", "taskset": "util-linux"}
_SPARE_S = 30


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client says of its run."""

    requests: int
    rps: float
    p50_us: float
    p99_us: float
    disturbed: str = ""


def require(*tools: str) -> None:
    """Raises MissingToolError with the package to install."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise MissingToolError(f"{tool} is not installed", hint=f"apt-get install {PACKAGES[tool]}")


def wrk(requests: Sequence[bytes], endpoint: Endpoint, connections: int, seconds: int, work: Path) -> Seen:
    """Closed loop, one thread, exactly these bytes, one request after the other; percentiles from its own microsecond histogram."""
    script = work / "wrk.lua"
    quoted = ",\n".join('"' + "".join(f"\\{byte:03d}" for byte in raw) + '"' for raw in requests)
    script.write_text(
        f"local raw, at = {{{quoted}}}, 0\n"
        "request = function() at = at % #raw + 1; return raw[at] end\n"
        'done = function(s, l) io.write(string.format(\'SAID {"n":%d,"us":%d,"p50":%f,"p99":%f,"bad":%d}\\n\', '
        "s.requests, s.duration, l:percentile(50), l:percentile(99), "
        "s.errors.connect + s.errors.read + s.errors.write + s.errors.status + s.errors.timeout)) end\n"
    )
    path = requests[0].split(b" ", 2)[1].decode()
    url = f"http://{endpoint.host}:{endpoint.port}{path}"
    out = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url], seconds)
    said = json.loads(next(line for line in out.splitlines() if line.startswith("SAID "))[5:])
    if said["bad"]:
        raise ServeoffError(f"wrk had {said['bad']} failed requests")
    return Seen(said["n"], said["n"] / said["us"] * 1e6, said["p50"], said["p99"])


def run(command: list[str], seconds: int, env: dict[str, str] | None = None) -> str:
    """What it wrote. Raises ServeoffError when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + _SPARE_S, env=env)
    if done.returncode != 0:
        raise ServeoffError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def pick(cells: Sequence[Cell]) -> Cell | None:
    """The first VALID row that wrk can repeat."""
    fitting = (c for c in cells if c.verdict == "VALID" and c.profile.name == "closed" and c.encoding == "json" and c.client == "raw")
    return next(fitting, None)


def testify(cell: Cell, directory: Path) -> Witness:
    """Let wrk load the cell's target, which is awake, with the payloads in `directory`. Raises ServeoffError, with what to install."""
    require("wrk")
    assert cell.measurement is not None
    endpoint = next(e for e in cell.target.endpoints if e.protocol == cell.protocol)
    requests = handover.unpack(directory / FILE, handover.Payloads).http(endpoint)
    users, seconds = int(cell.profile.options["users"]), max(1, round(cell.profile.options["duration_s"]))
    seen = wrk(requests, endpoint, users, seconds, directory)
    return Witness(
        tool="wrk",
        target_id=cell.target.id,
        protocol=cell.protocol,
        users=users,
        p50_us=seen.p50_us,
        throughput_rps=seen.rps,
        ours_p50_us=measure.percentiles_us(cell.measurement.latency_hdr, (50,))[50],
        ours_rps=cell.measurement.throughput_rps,
    )


def skip(reason: str) -> Skip:
    return Skip(stage="loadtest", what="the second witness", reason=reason)
