"""wrk: a closed loop over REST with exactly our requests, one after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from serveoff.errors import ServeoffError
from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
from serveoff.results import Cell

from . import Row, Seen, Witness, require, run


class Wrk:
    program = "wrk"
    install = "apt-get install wrk"
    rows = "REST, a closed loop"
    otherwise = ""

    def fits(self, cell: Cell) -> bool:
        return cell.profile.name == "closed" and PROTOCOLS.load(cell.protocol).transport == "http"

    def repeat(self, row: Row) -> Seen:
        users = int(row.cell.profile.options["users"])
        return load(row.payloads.http(row.endpoint), row.endpoint, users, row.seconds, row.work)


def load(requests: Sequence[bytes], endpoint: Endpoint, connections: int, seconds: int, work: Path) -> Seen:
    """One thread, exactly these bytes; percentiles from its own microsecond histogram."""
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
    out = run([require(Wrk.program, Wrk.install), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url], seconds)
    said = json.loads(next(line for line in out.splitlines() if line.startswith("SAID "))[5:])
    if said["bad"]:
        raise ServeoffError(f"wrk had {said['bad']} failed requests")
    return Seen(said["n"], said["n"] / said["us"] * 1e6, said["p50"], said["p99"], connections=connections)


WITNESS: Witness = Wrk()
