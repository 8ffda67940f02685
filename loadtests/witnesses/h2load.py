"""h2load (of nghttp2): a constant rate over REST, percentiles from its log of every request."""

from __future__ import annotations

import math
from pathlib import Path

from serveoff.errors import ServeoffError
from serveoff.launch import Endpoint
from serveoff.registry import PROTOCOLS
from serveoff.results import Cell

from ..handover import Payloads
from . import Row, Seen, Witness, require, run

_MOST_CONNECTIONS = 32
"""They start one after the other, some 0.1 s apart."""
_LEAST_STEP_S = 0.1
"""What `--rate-period` takes at least."""
_SPARE_S = 1


class H2load:
    program = "h2load"
    install = "apt-get install nghttp2-client"
    rows = "REST at a constant rate, but not TorchServe's"
    otherwise = f"it sends the first payload only, over at most {_MOST_CONNECTIONS} connections"

    def fits(self, cell: Cell) -> bool:
        if cell.protocol == "torchserve_rest":  # its replies say "200" without "OK", and then h2load (1.52) reads no status
            return False
        return cell.profile.name == "constant" and PROTOCOLS.load(cell.protocol).transport == "http"

    def repeat(self, row: Row) -> Seen:
        options = row.cell.profile.options
        connections = min(int(options["connections"]), _MOST_CONNECTIONS)
        return load(row.payloads, row.endpoint, options["rate_rps"], connections, row.seconds, row.work)


def load(payloads: Payloads, endpoint: Endpoint, rate: float, connections: int, seconds: int, work: Path) -> Seen:
    """The first payload at this rate, evenly dealt out to the connections.

    Left to itself h2load would start all connections at once, and they would go on asking in the same instant: bursts, not a rate. One
    starts after the other, in steps that spread them over the time between two requests of one connection. What counts is what was sent
    between the last start and the end.
    """
    body, log = work / "body.bin", work / "h2load.log"
    body.write_bytes(payloads.bodies[0])
    log.unlink(missing_ok=True)
    step_ms = _step_ms(rate, connections)
    started_s = step_ms * connections / 1000
    total = max(connections, round(rate * (seconds + started_s + _SPARE_S)))
    url = f"http://{endpoint.host}:{endpoint.port}{payloads.path}"
    command = [require(H2load.program, H2load.install), "--h1", "-t1", f"-c{connections}", "-m1", f"-n{total}"]
    command += [f"--rps={rate / connections:g}", "-r1", f"--rate-period={step_ms}ms", f"-d{body}"]
    command += [f"-H{name.lower()}: {value}" for name, value in payloads.headers_of(0).items()]
    run([*command, f"--log-file={log}", url], seconds + 2 * started_s + _SPARE_S)
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    bad = sum(line[1] != "200" for line in lines)
    if bad:
        raise ServeoffError(f"h2load had {bad} failed requests")
    start_us = min(int(line[0]) for line in lines) + started_s * 1e6
    found = [float(line[2]) for line in lines if start_us <= int(line[0]) < start_us + seconds * 1e6]
    if not found:
        raise ServeoffError(f"h2load sent nothing in the {seconds} s that count")
    return _seen(found, seconds, connections)


def _step_ms(rate: float, connections: int) -> int:
    """From the start of one connection to the next one's: so many requests that no two connections send at the same time.

    h2load takes whole milliseconds; where none of them fits, the connections stand nearly evenly.
    """
    for step_ms in range(round(1000 * _LEAST_STEP_S), round(2000 * _LEAST_STEP_S)):
        requests = step_ms * rate / 1000
        if requests.is_integer() and math.gcd(int(requests), connections) == 1:
            return step_ms
    turn_s, apart_s = connections / rate, 1 / rate
    turns = max(0, math.ceil((_LEAST_STEP_S - apart_s) / turn_s))
    return math.ceil(1000 * (turns * turn_s + apart_s))


def _seen(latencies_us: list[float], seconds: int, connections: int) -> Seen:
    import numpy as np

    p50, p99 = np.quantile(latencies_us, (0.5, 0.99), method="inverted_cdf").tolist()
    return Seen(len(latencies_us), len(latencies_us) / seconds, p50, p99, connections=connections)


WITNESS: Witness = H2load()
