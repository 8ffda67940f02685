"""What happened around a measurement, on its machine and inside the server. Parts of `serveoff.results`' files."""

from __future__ import annotations

import msgspec

from serveoff.contract import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """What the target's processes used inside the measured window, all together; a container's figures are its cgroup's.

    None where this host does not tell.
    """

    cpu_s: float
    memory_mean_bytes: float
    """Resident memory, pages that processes share counted in each; of a container with its page cache, as its limit counts it."""
    memory_peak_bytes: int
    """The largest sample, or the cgroup's own peak."""
    processes: int
    threads: int
    """The most there were at once."""
    voluntary_switches: int | None = None
    """How often a thread gave its core up because it had to wait."""
    involuntary_switches: int | None = None
    """How often the system took it away."""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What else happened on this machine inside the measured window. CPU figures are cores: 1.0 is one core all the time.

    None where it could not be known: no such counter here, or a target whose processes this host does not see.
    """

    client_cpu_peak: float
    """The busiest second of the busiest load process."""
    hub_lag_p99_us: float
    """How late a load process got round to what was to be done, asked every 10 ms."""
    target_cpu: float | None = None
    other_cpu: float | None = None
    """What neither the target nor the load used."""
    idle_cpu: float | None = None
    waiting: float | None = None
    """The share of their time that threads of the target and of the load were ready to run, and waited for a free core."""
    stolen_cpu: float | None = None
    """The share of all cores' time that the hypervisor gave to others."""
    others_awake: dict[str, float] = msgspec.field(default_factory=dict)
    """Target id -> cores that another target used meanwhile, though it was not its turn."""
    target_cores: tuple[int, ...] | None = None
    """The cores that the target's threads were allowed to run on, as the system said meanwhile."""
    client_cores: tuple[int, ...] | None = None
    usage: Usage | None = None


class ServerSide(Struct, frozen=True, kw_only=True):
    """Mean microseconds of a request inside the server, by its own counters, from just before the window until the load had ended.

    `total_us` from when it had the request until it had the reply; in it `queue_us`, waiting for the model, and `work_us`, the model's own
    code. None where the server does not tell.
    """

    requests: int
    """Successes that it counted."""
    total_us: float
    queue_us: float | None = None
    work_us: float | None = None
