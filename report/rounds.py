"""The cells of one row over its rounds: which count, what they say together, and the blocks that the bootstrap draws from.

A row's figures are those of all its valid rounds together: percentiles are taken from the merged samples, so the sample counts they need
are the row's, and throughput is all replies over all seconds. A median over rounds would stand on one round's samples and hide a bad round;
merged, a bad round moves the figure and widens its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from serveoff.results import FEWEST_ROUNDS, Cell, Measurement
from serveoff.surroundings import ServerSide, Usage

from .percentiles import Distribution, decode, merge

FEWEST = FEWEST_ROUNDS
_SHORTEST_S = 0.01
_REASONS = 1
"""So many of the void attempts' reasons, latest first, stand for all of them; the report lists each attempt with its own."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive requests of a round: one second of its window. `replies` are its share of the round's successful replies."""

    start_s: float
    seconds: float
    replies: float
    errors: int
    latency: Distribution


class Drawn(Protocol):
    """What the bootstrap and the verdicts need of a round. Rows of one run are paired by `number`."""

    @property
    def number(self) -> int: ...
    @property
    def latency(self) -> Distribution: ...
    @property
    def blocks(self) -> tuple[Block, ...]: ...
    @property
    def capacity_rps(self) -> float | None: ...
    @property
    def by_turns(self) -> bool:
        """Whether it went by turns with the other rows of its round: then their blocks are of the same moments."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One measured round of a row. The blocks hold every sample of `latency`."""

    number: int
    measurement: Measurement
    latency: Distribution
    service: Distribution
    blocks: tuple[Block, ...]
    capacity_rps: float | None = None

    @property
    def by_turns(self) -> bool:
        return self.measurement.turn_s > 0


@dataclass(frozen=True, slots=True)
class Around:
    """The worst of the rounds: CPU in cores, None where no round knows. `target_cpu` is their mean."""

    target_cpu: float | None
    other_cpu: float | None
    stolen_cpu: float | None
    hub_lag_p99_us: float | None
    target_cores: tuple[int, ...] | None
    client_cores: tuple[int, ...] | None
    used: Usage | None
    """Of all rounds together: sums, the mean of the memory, the largest of the rest. None where a round does not tell."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What the rounds of a row say together. Sums, but the largest of each cut, of the connections and of the client's CPU."""

    window_s: float
    cut_s: tuple[float, float]
    unsteady_warmup_s: tuple[float, ...]
    """Of the rounds whose warm-up ended without being steady: how long it took."""
    errors: dict[str, int]
    error_texts: dict[str, str]
    sampled: int
    """How many replies were compared with the source model's."""
    unsent: int
    offered_rps: float | None
    throughput_rps: float
    connections: int
    opened_in_window: int
    """Connections."""
    client_cpu: float
    around: Around
    latency: Distribution
    service: Distribution
    server: ServerSide | None
    """None where a round does not tell; then the reason."""
    server_silent: str


def read(cell: Cell) -> Round | None:
    """The cell's round; None when nothing was measured. Raises InputError for a histogram that cannot be read."""
    m = cell.measurement
    if m is None:
        return None
    latency = decode(m.latency_hdr)
    return Round(cell.round, m, latency, decode(m.service_hdr), tuple(_blocks(m, latency)), cell.capacity_rps)


def settled(attempts: Iterable[Cell]) -> list[Cell]:
    """One cell for each round, in order: its VALID attempt, else its last one."""
    chosen: dict[int, Cell] = {}
    for cell in sorted(attempts, key=lambda c: (c.round, c.verdict == "VALID", c.attempt)):
        chosen[cell.round] = cell
    return [chosen[number] for number in sorted(chosen)]


def needed(planned: int) -> int:
    """The valid rounds that a row needs: more than half of the planned ones, and enough for an interval where that many were planned."""
    return planned if planned < FEWEST else max(FEWEST, planned // 2 + 1)


def reasons(attempts: Sequence[Cell], planned: int) -> tuple[str, ...]:
    """Why a row is INVALID; empty when it has enough valid rounds."""
    valid = sum(1 for cell in settled(attempts) if cell.verdict == "VALID")
    if valid >= needed(planned):
        return ()
    latest = sorted(attempts, key=lambda c: (c.round, c.attempt), reverse=True)  # a target that died has done so last
    found = tuple(dict.fromkeys(reason for cell in latest for reason in cell.reasons))
    if planned == 1:
        return latest[0].reasons or ("no reason was given",)
    more = (f"and {len(found) - _REASONS} more",) if len(found) > _REASONS else ()
    return (f"{valid} of {planned} rounds {'is' if valid == 1 else 'are'} VALID, {needed(planned)} are needed", *found[:_REASONS], *more)


def pool(rounds: Sequence[Round]) -> Pooled | None:
    """None without rounds."""
    if not rounds:
        return None
    all_of = [r.measurement for r in rounds]
    window_s = sum(m.window_s for m in all_of)
    errors: dict[str, int] = {}
    texts: dict[str, str] = {}
    for m in all_of:
        texts = dict(m.error_texts) | texts
        for kind, many in m.errors.items():
            errors[kind] = errors.get(kind, 0) + many
    offered = [m.offered_rps * m.window_s for m in all_of if m.offered_rps is not None]
    return Pooled(
        window_s=window_s,
        cut_s=(max(m.cut_s[0] for m in all_of), max(m.cut_s[1] for m in all_of)),
        unsteady_warmup_s=tuple(m.cut_s[0] for m in all_of if m.warmed_up is False),
        errors=errors,
        error_texts=texts,
        sampled=sum(m.sampled for m in all_of),
        unsent=sum(m.unsent for m in all_of),
        offered_rps=sum(offered) / window_s if len(offered) == len(all_of) and window_s else None,
        throughput_rps=sum(m.throughput_rps * m.window_s for m in all_of) / window_s if window_s else 0.0,
        connections=max(m.connections for m in all_of),
        opened_in_window=sum(m.opened_in_window or 0 for m in all_of),
        client_cpu=max(m.client_cpu for m in all_of),
        around=_around(all_of),
        latency=merge(r.latency for r in rounds),
        service=merge(r.service for r in rounds),
        server=_together([m.server for m in all_of if m.server is not None]) if all(m.server for m in all_of) else None,
        server_silent=next((m.server_silent for m in all_of if m.server_silent), ""),
    )


def _around(all_of: Sequence[Measurement]) -> Around:
    known = [m.surroundings for m in all_of if m.surroundings is not None]
    targets = [s.target_cpu for s in known if s.target_cpu is not None]
    return Around(
        target_cpu=sum(targets) / len(targets) if targets else None,
        other_cpu=max((s.other_cpu for s in known if s.other_cpu is not None), default=None),
        stolen_cpu=max((s.stolen_cpu for s in known if s.stolen_cpu is not None), default=None),
        hub_lag_p99_us=max((s.hub_lag_p99_us for s in known), default=None),
        target_cores=_cores([s.target_cores for s in known]),
        client_cores=_cores([s.client_cores for s in known]),
        used=_used(all_of),
    )


def _cores(found: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    """Every core that was allowed in a round; None where a round does not tell."""
    if not found or None in found:
        return None
    return tuple(sorted({core for cores in found for core in cores or ()}))


def _used(all_of: Sequence[Measurement]) -> Usage | None:
    found = [m.surroundings.usage for m in all_of if m.surroundings is not None and m.surroundings.usage is not None]
    if len(found) < len(all_of) or not found:
        return None
    return Usage(
        cpu_s=sum(u.cpu_s for u in found),
        memory_mean_bytes=sum(u.memory_mean_bytes for u in found) / len(found),
        memory_peak_bytes=max(u.memory_peak_bytes for u in found),
        processes=max(u.processes for u in found),
        threads=max(u.threads for u in found),
        voluntary_switches=_sum([u.voluntary_switches for u in found]),
        involuntary_switches=_sum([u.involuntary_switches for u in found]),
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _blocks(m: Measurement, latency: Distribution) -> list[Block]:
    """The seconds of the window. Replies are counted when they came and blocks by when requests were due: hence the shares."""
    total = m.throughput_rps * m.window_s
    parts = [(i, decode(i.latency_hdr)) for i in sorted(m.intervals, key=lambda i: i.start_s)]
    if sum(part.n for _, part in parts) != latency.n or not latency.n:  # no seconds were kept: the round is one block
        return [Block(0.0, m.window_s, total, sum(m.errors.values()), latency)]
    made = []
    for interval, part in parts:
        seconds = max(_SHORTEST_S, min(1.0, m.window_s - interval.start_s))
        made.append(Block(interval.start_s, seconds, total * part.n / latency.n, interval.errors, part))
    return made


def _together(sides: Sequence[ServerSide]) -> ServerSide | None:
    """The mean over all requests of several rounds; None without any."""
    requests = sum(side.requests for side in sides)
    if not requests:
        return None

    def mean(figures: Sequence[float | None]) -> float | None:
        weighted = [figure * side.requests for figure, side in zip(figures, sides, strict=True) if figure is not None]
        return sum(weighted) / requests if len(weighted) == len(sides) else None

    return ServerSide(
        requests=requests,
        total_us=mean([side.total_us for side in sides]) or 0.0,
        queue_us=mean([side.queue_us for side in sides]),
        work_us=mean([side.work_us for side in sides]),
    )
