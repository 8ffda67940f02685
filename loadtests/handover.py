"""The files between our process and a load process: payloads go in; records, facts and sampled answers come out.

Binary ones are MessagePack, so that a load process needs neither numpy nor a framework. Text ones go through `serveoff.storage`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from serveoff import storage
from serveoff.contract import Struct
from serveoff.launch import Endpoint
from serveoff.results import CellJob, ClientCost

T = TypeVar("T", bound=msgspec.Struct)

JOB_VARIABLE = "SERVEOFF_LOAD_JOB"
"""Names the CellJob of a load process, or the Desk of the web UI's."""
JOB, FACTS, RECORDS, ANSWERS, CSV, BATON = "job.json", "facts.json", "records.msgpack", "answers.msgpack", "locust", "baton"
WARM, WINDOW = "warm", "window"
"""Where several processes share a load: each makes WARM beside its job when it is ready, then waits for WINDOW in the directory above,
which holds the monotonic nanosecond at which the window of all of them opens."""
OPENS_AFTER_NS = 200_000_000
"""From the moment when all are warm to their window: they must have heard of it by then."""
HELLO, ORDER, OPEN, OPENED, LEFT = "serveoff-hello", "serveoff-order", "serveoff-open", "serveoff-opened", "serveoff-left"
"""What a Locust master and its workers say to each other, in this order; WARM comes before OPEN."""
WORKERS = "workers.json"
MASTERS_HOST = "0.0.0.0"  # noqa: S104 - nothing listens there
"""Stands in an endpoint for the host of the load's master, which each worker knows by a name of its own."""


class Payloads(Struct, frozen=True, kw_only=True):
    """What to send where: `bodies` are complete request messages, encoded before any clock starts."""

    transport: Literal["http", "grpc"]
    path: str
    headers: dict[str, str]
    bodies: tuple[bytes, ...]
    heads: tuple[dict[str, str], ...] = ()
    """One for each body, where a body has headers of its own beside those of all."""

    def headers_of(self, payload: int) -> dict[str, str]:
        return self.headers | self.heads[payload] if self.heads else self.headers

    def http(self, endpoint: Endpoint) -> list[bytes]:
        """The complete HTTP/1.1 requests."""
        start = f"POST {self.path} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n"
        requests = []
        for number, body in enumerate(self.bodies):
            headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers_of(number).items())
            requests.append(f"{start}{headers}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
        return requests


class Desk(Struct, frozen=True, kw_only=True):
    """What the web UI can be asked to load: one job for each (target, protocol)."""

    schema: int = 1
    jobs: tuple[CellJob, ...]


class Facts(Struct, frozen=True, kw_only=True):
    """What a load process says beside its records. Times are nanoseconds of its clock: monotonic, less what a relay held it for."""

    schema: int = 1
    start_ns: int
    """All connections stood, the warm-up began."""
    window_start_ns: int
    window_end_ns: int
    end_ns: int
    """The last reply, or the last request that failed."""
    open_loop: bool
    unsent: int
    """Requests due in the window that found no free connection before the load ended, a moment after the window."""
    connections: int
    """Open when the window began: one for each user, less those that had none just then."""
    error_classes: tuple[str, ...]
    """Outcome code 1 is the first of these; 0 is success."""
    error_texts: dict[str, str]
    cpu: float
    """CPU seconds per second of the process, inside the window."""
    cpu_peak: float = 0.0
    """The same, of the busiest second."""
    hub_lag_p99_us: float = 0.0
    """How late the event loop got round to a ticker that is due every 10 ms, inside the window."""
    waited: float | None = None
    """Seconds per second that its threads were ready to run and had no CPU, inside the window."""
    cores: tuple[int, ...] | None = None
    """Those that the process could run on; None where the system has no affinity."""
    warmed_up: bool = True
    """Whether the figures were steady when the warm-up ended."""
    opened_in_window: int | None = None
    """Connections that were opened in it; None where the client does not tell."""


class Columns(Struct, frozen=True, kw_only=True):
    """The raw records of one load process, one entry per request: native int64, uint8, uint16 and uint32 arrays as bytes."""

    due_ns: bytes
    sent_ns: bytes
    done_ns: bytes
    outcome: bytes
    user: bytes
    reply_bytes: bytes


class Answer(Struct, frozen=True, kw_only=True):
    """One reply as it came, and the index of the payload it answers."""

    payload: int
    reply: bytes


class Answers(Struct, frozen=True, kw_only=True):
    """A seeded, uniform sample of the successful replies."""

    answers: tuple[Answer, ...]


class Left(Struct, frozen=True, kw_only=True):
    """All that a load process leaves."""

    columns: Columns
    answers: Answers
    facts: Facts


class Hello(Struct, frozen=True, kw_only=True):
    """A worker's first words: among them its host's name, and all its addresses."""

    versions: str
    host: str
    boot: str
    addresses: tuple[str, ...] = ()


class Order(Struct, frozen=True, kw_only=True):
    """A worker's share of one cell, and what to send. `cores`: those that it may use; None: all that it has."""

    job: CellJob
    payloads: Payloads
    cores: tuple[int, ...] | None = None


class Worker(Struct, frozen=True, kw_only=True):
    """A worker that had a share. `lost`: why it left nothing."""

    host: str
    boot: str
    lost: str


class Workers(Struct, frozen=True, kw_only=True):
    """How a master's cell went. Nothing was loaded where fewer came than were wanted, or one was `refused`."""

    schema: int = 1
    came: int
    missing: tuple[str, ...] = ()
    """The hosts that a worker was wanted from, and none came."""
    refused: str = ""
    members: tuple[Worker, ...] = ()
    spread_us: float = 0.0
    """So far apart, at most, their windows opened."""


def write_left(directory: Path, left: Left) -> None:
    pack(directory / RECORDS, left.columns)
    pack(directory / ANSWERS, left.answers)
    storage.write(directory / FACTS, left.facts)  # last: where it is, the others are whole


CALIBRATION_CONNECTIONS = 8
"""Of each load process, where it is seen how much it can send."""


class NullService(Struct, frozen=True, kw_only=True):
    """What the null server answers on one port."""

    transport: Literal["http", "grpc"]
    reply: bytes


class NullJob(Struct, frozen=True, kw_only=True):
    """What the null server serves, and at which address of this host."""

    services: tuple[NullService, ...]
    host: str = "127.0.0.1"


class Calibrations(Struct, frozen=True, kw_only=True):
    """What a calibrating process is told: one job for each protocol, on the null server's ports. Each lies with its payloads."""

    schema: int = 1
    jobs: tuple[CellJob, ...]


class Costs(Struct, frozen=True, kw_only=True):
    """What it found, one for each job."""

    schema: int = 1
    costs: tuple[ClientCost, ...]


def pack(path: Path, value: msgspec.Struct) -> None:
    storage.write_bytes(path, msgspec.msgpack.encode(value))


def unpack(path: Path, kind: type[T]) -> T:
    return msgspec.msgpack.decode(path.read_bytes(), type=kind)
