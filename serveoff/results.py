"""The files of a load test: what it is told (a plan, a job for each load process), and what it found. Strict, as `serveoff.contract` is.

Units stand in the names (`_s` seconds, `_us` microseconds, `_bytes`, `_rps` requests per second).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from serveoff.contract import HostFacts, Manifest, Parity, Skip, Struct
from serveoff.launch import Target
from serveoff.surroundings import ServerSide, Surroundings
from serveoff.training import ThroughputResult, TrainingRecord, TwinProof

ErrorClass = Literal["client's fault", "overload", "server fault", "timeout", "refused", "connection lost", "wrong answer"]
"""What a failed request means. `refused`: nobody took the connection; `connection lost`: it ended before the whole reply was there."""
FEWEST_ROUNDS: Final = 3
"""Rounds below which there is no interval and no verdict."""
WRONG_ANSWER: Final = "wrong answer"
"""The error class of the sampled replies that are not the source model's."""


ClientKind = Literal["raw", "fasthttp"]
"""What sends the requests of REST rows: our own client, or Locust's FastHttpUser for comparison."""


class ProfileChoice(Struct, frozen=True, kw_only=True):
    """A load profile and its options, e.g. `constant` with `rate_rps=200`."""

    name: str
    options: dict[str, float] = msgspec.field(default_factory=dict)


class LoadPlan(Struct, frozen=True, kw_only=True):
    """The load that every (target, protocol) gets."""

    profiles: tuple[ProfileChoice, ...]
    warmup_s: float
    timeout_s: float
    seed: int
    rounds: int = 1
    """How often each (target, protocol, profile) is measured, in an order that is shuffled anew in each round."""
    warmup_limit_s: float = 1.5
    """The warm-up lasts `warmup_s`, and then until the figures are steady, but not longer than this."""
    load_processes: int = 1
    workers: int = 0
    """Locust workers, here or on other hosts, that share one load (`serveoff load-worker`); 0: our own load processes do."""
    worker_hosts: tuple[str, ...] = ()
    """The hosts that they must run on, one for each worker; none: any."""
    master: str = "127.0.0.1:5557"
    """HOST:PORT where the workers find the load's master."""
    cpu_sets: str = "auto"
    """`auto`, `off`, or the cores of every server and those of the client, e.g. `0-3:4,5`."""
    strict: bool = False
    """The validity limits for a quiet machine of one's own, instead of those that a busy one can meet."""
    client: ClientKind = "raw"
    turn_s: float = 0.0
    """Rows of one kind are loaded side by side, by turns of so many seconds; 0: one after the other."""
    calibrate: bool = False
    """Whether the client's own cost is measured before and after the load."""
    witness: bool = False
    """Whether rows are measured once more by clients that are not ours."""


class CellJob(Struct, frozen=True, kw_only=True):
    """What one Locust process is told: one profile on one protocol of one target. `payloads` is relative to the job's file.

    It loads share number `share` (from 0) of `shares`: the connections and the due times are dealt out among so many processes.
    """

    schema: int = 1
    target: Target
    protocol: str
    profile: ProfileChoice
    plan: LoadPlan
    payloads: str
    share: int = 0
    shares: int = 1


class Interval(Struct, frozen=True, kw_only=True):
    """One second of a run; `start_s` counts from the start of the measured window."""

    start_s: float
    requests: int
    errors: int
    latency_hdr: str


class Measurement(Struct, frozen=True, kw_only=True):
    """What the load processes saw inside the measured window.

    `*_hdr` are HdrHistogram V2 blobs (base64, compressed) of microseconds, successful requests only. `latency` counts from when a
    request was due, `service` from when it was sent; in a closed loop they are the same.
    """

    schema: int = 1
    window_s: float
    cut_s: tuple[float, float]
    """Seconds cut off at the start (warm-up included) and at the end."""
    requests: int
    errors: dict[str, int]
    """`ErrorClass` -> how many."""
    error_texts: dict[str, str]
    """Error class -> the first text seen; what a server said stands after its own number: `http-503: ...`."""
    unsent: int
    """Requests that were due in the window and could not be sent before the load ended (0.2 s after the window)."""
    offered_rps: float | None
    """None in a closed loop."""
    throughput_rps: float
    """Successful replies per second."""
    connections: int
    """Open when the window began."""
    latency_hdr: str
    service_hdr: str
    intervals: tuple[Interval, ...]
    client_cpu: float
    """CPU seconds per second of the busiest load process: near 1.0 the client is the limit."""
    raw: str
    """The file of raw records, relative to the run's directory."""
    load_processes: int = 1
    sampled: int = 0
    """How many replies were compared with the source model's: the error class WRONG_ANSWER counts among these only."""
    warmed_up: bool | None = None
    """Whether the figures were steady when the warm-up ended; False: it had reached its limit."""
    opened_in_window: int | None = None
    """Connections that were opened in the window, where the server had closed others: connecting is in the latency. None: not counted."""
    surroundings: Surroundings | None = None
    server: ServerSide | None = None
    server_silent: str = ""
    """Why there is no `server`, in words."""
    windows_within_us: float | None = None
    """Of workers, whose clocks differ: their windows opened so far apart at most. Latencies are each of one clock, and exact."""
    worker_hosts: tuple[str, ...] = ()
    """Of workers: where each of them ran."""
    turn_s: float = 0.0
    """It went by turns with other rows of its round; its clock stood still in theirs. 0: it was measured by itself."""


class Probe(Struct, frozen=True, kw_only=True):
    """One step of a profile that chooses its next load by what it has seen (`capacity`, `sweep`). None: nothing was measured."""

    profile: ProfileChoice
    measurement: Measurement | None
    verdict: Literal["VALID", "INVALID"]
    reasons: tuple[str, ...]
    kept: bool | None
    """Whether the profile's objective was kept; None where it has none, or where the probe is void."""


class Cell(Struct, frozen=True, kw_only=True):
    """A target, a protocol, a profile, a round, and what was measured. `measurement` is None when nothing could be.

    A void round is repeated: the repetition is another cell of the same `round`, with the next `attempt`.
    """

    target: Target
    manifest: Manifest
    protocol: str
    encoding: str
    profile: ProfileChoice
    payload_bytes: int
    reply_bytes: int
    live_check: Parity
    measurement: Measurement | None
    verdict: Literal["VALID", "INVALID"]
    reasons: tuple[str, ...]
    round: int = 1
    attempt: int = 1
    probes: tuple[Probe, ...] = ()
    """Every step of a profile that takes several; `measurement` is then that of the step that is its result."""
    capacity_rps: float | None = None
    """The result of the profile `capacity`: the highest arrival rate that kept the objective, twice."""
    repeatable: bool = False
    """What made it void is not the target's doing, and may be over: it is worth another attempt."""

    client: ClientKind = "raw"

    @property
    def wrong(self) -> bool:
        """Whether an answer was not the source model's, before the load or under it."""
        before = bool(self.live_check.checks) and not self.live_check.passed
        return before or (self.measurement is not None and WRONG_ANSWER in self.measurement.errors)


class Floor(Struct, frozen=True, kw_only=True):
    """An artifact called in process, without a server, with a server's threads and cores: one call after the other, in microseconds."""

    artifact_id: str
    threads: int
    batch: int
    calls: int = 0
    mean_us: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    reason: str = ""
    """Why it could not be measured."""


class ClientCost(Struct, frozen=True, kw_only=True):
    """What the load process saw of a server that answers at once: its own cost, and no more."""

    p50_us: float
    """One connection, back to back."""
    reachable_rps: float
    """Of one load process with eight connections."""
    requests: int


class Calibration(Struct, frozen=True, kw_only=True):
    """The client's cost on one protocol, with a target's own payloads and a reply as long as its own, before and after the load."""

    protocol: str
    payload_bytes: int
    reply_bytes: int
    before: ClientCost
    after: ClientCost | None = None
    """None where the load test was interrupted."""


class Witness(Struct, frozen=True, kw_only=True):
    """One row once more, by a client that is not ours. Latencies count from when a request was sent, by both."""

    tool: str
    target_id: str
    protocol: str
    profile: ProfileChoice
    connections: int
    p50_us: float
    p99_us: float
    throughput_rps: float
    ours_p50_us: float
    ours_p99_us: float
    ours_rps: float
    otherwise: str = ""
    """What it does unlike our client, in words."""


class RunResult(Struct, frozen=True, kw_only=True):
    """One load test: everything the report needs. It is written again after each cell; `finished` says whether more were to come."""

    schema: int = 1
    run_id: str
    serveoff_version: str
    created_at: str
    seconds: float
    plan: LoadPlan
    host: HostFacts
    cells: tuple[Cell, ...]
    skips: tuple[Skip, ...]
    training: tuple[TrainingRecord, ...]
    twins: tuple[TwinProof, ...]
    finished: bool = True
    planned_rows: int | None = None
    """How many (target, protocol, profile, round) were to be measured; None where that was not kept."""
    cpu_sets: str = ""
    """How the cores were divided, or why they were not, in words."""
    floors: tuple[Floor, ...] = ()
    throughput: ThroughputResult | None = None
    """Of training, where it was measured in this workspace."""
    calibrations: tuple[Calibration, ...] = ()
    witness: tuple[Witness, ...] | None = None
    """None where none was asked for."""
