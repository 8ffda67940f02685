"""The rows of a run with their percentiles, in the groups within which they may be compared. A row is what its rounds say together."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from serveoff.contract import GIVEN, Manifest
from serveoff.errors import InputError
from serveoff.launch import Target
from serveoff.results import Cell, RunResult

from . import rounds as of_rounds
from . import weights, wording
from .bootstrap import CAPACITY, METRICS, THROUGHPUT, Metric, Range, interval
from .percentiles import P50, P90, P99, P999, Distribution, Drift, Estimate, drift, estimate
from .rounds import FEWEST, Pooled, Round
from .verdicts import primary

EMBEDDED = "embedded"
"""The server plug-in whose numbers are ours, and never those of TF Serving or TorchServe."""


@dataclass(frozen=True, slots=True)
class Row:
    """One target over one protocol under one profile. The estimates are None when nothing was measured, or nothing succeeded.

    `cell` is one of the attempts, for what they share. `rounds` are the valid ones; of an INVALID row, whatever was measured.
    """

    cell: Cell
    attempts: tuple[Cell, ...]
    rounds: tuple[Round, ...]
    reasons: tuple[str, ...]
    server: str
    artifact: str
    pooled: Pooled | None
    p50: Estimate | None
    p90: Estimate | None
    p99: Estimate | None
    p999: Estimate | None
    service_p99: Estimate | None
    drift: Drift | None
    """Of a single round only: several are compared with each other."""
    ranges: dict[str, Range]
    """By the metric's name; empty with too few rounds."""

    @property
    def label(self) -> str:
        return f"{self.artifact} on {self.server} over {self.protocol}"

    @property
    def protocol(self) -> str:
        return wording.clean(self.cell.protocol) + (" by FastHttpUser" if self.cell.client == "fasthttp" else "")

    @property
    def embedded(self) -> bool:
        return self.cell.target.server == EMBEDDED

    @property
    def usable(self) -> bool:
        """Whether the numbers may support a claim: VALID, measured, and the answers are the source model's."""
        right = self.cell.manifest.parity.passed and self.cell.live_check.passed
        return self.verdict == "VALID" and self.p99 is not None and right

    @property
    def verdict(self) -> Literal["VALID", "INVALID"]:
        return "INVALID" if self.reasons else "VALID"

    @property
    def void(self) -> int:
        """Attempts that were not VALID, repeated or not."""
        return sum(1 for cell in self.attempts if cell.verdict == "INVALID")

    @property
    def repeated(self) -> bool:
        """Whether there is more to say than what one round saw."""
        return len(self.attempts) > 1

    @property
    def latency(self) -> Distribution | None:
        return None if self.pooled is None else self.pooled.latency

    @property
    def unsent(self) -> int:
        return 0 if self.pooled is None else self.pooled.unsent

    @property
    def throughput(self) -> float:
        return 0.0 if self.pooled is None else self.pooled.throughput_rps

    @property
    def capacity_rps(self) -> float | None:
        """The mean of the rounds' searches."""
        found = [r.capacity_rps for r in self.rounds if r.capacity_rps is not None]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one model, one load profile and one encoding class, sorted: usable ones by p99, then the others."""

    model: str
    profile: str
    encoding: str
    open_loop: bool
    rows: tuple[Row, ...]
    mixed: str = ""
    """Why a comparison of these rows would compare checkpoints; empty where they have the same weights."""

    @property
    def name(self) -> str:
        return f"{self.model}: {self.profile}, {self.encoding}"

    @property
    def load(self) -> str:
        """The load profile's plain name."""
        return self.rows[0].cell.profile.name

    @property
    def metric(self) -> Metric:
        """What its verdicts are about."""
        return primary(self.load, self.open_loop)

    @property
    def repeated(self) -> bool:
        return any(row.repeated for row in self.rows)

    @property
    def intervals(self) -> bool:
        return any(row.ranges for row in self.rows)

    @property
    def usable(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.usable)


def groups(result: RunResult) -> list[Group]:
    """Every row of the run. Open loops come first: they are the headline."""
    artifact_names = _artifact_names(result)
    several_launchers = len({cell.target.launcher for cell in result.cells}) > 1
    profile_name = wording.profiles(cell.profile for cell in result.cells)
    attempts: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in result.cells:
        attempts[cell.target.id, cell.protocol, wording.profile(cell.profile)].append(cell)
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for cells in attempts.values():
        cell = cells[0]
        key = wording.clean(cell.manifest.model), profile_name(cell.profile), wording.clean(cell.encoding)
        found[key].append(_row(cells, result.plan.rounds, _server_name(cell.target, several_launchers), artifact_names[cell.manifest.id]))
    mixed = {wording.clean(model): weights.mixed(result, model) for model in weights.of_rows(result)}
    made = [Group(*key, _open_loop(rows), tuple(sorted(rows, key=_order)), mixed[key[0]]) for key, rows in found.items()]
    return sorted(made, key=lambda group: (group.model, not group.open_loop, group.profile, group.encoding))


def _row(attempts: list[Cell], planned: int, server: str, artifact: str) -> Row:
    final = of_rounds.settled(attempts)
    wrong = of_rounds.reasons(attempts, planned)
    counted = final if wrong and not any(cell.verdict == "VALID" for cell in final) else [c for c in final if c.verdict == "VALID"]
    cell = (counted or final)[-1]
    try:
        found = [of_rounds.read(each) for each in counted]
        rounds = tuple(each for each in found if each is not None)
        moved = drift(rounds[0].measurement) if len(rounds) == 1 else None
        ranges = {} if wrong else _ranges(rounds)
    except InputError as error:
        raise InputError(f"{wording.clean(cell.target.id)}, {wording.clean(cell.protocol)}: {error.message}", hint=error.hint) from None
    pooled = of_rounds.pool(rounds)
    latency, unsent = (pooled.latency, pooled.unsent) if pooled else (None, 0)
    return Row(
        cell,
        tuple(attempts),
        rounds,
        wrong,
        server,
        artifact,
        pooled,
        p50=_estimate(latency, P50, unsent),
        p90=_estimate(latency, P90, unsent),
        p99=_estimate(latency, P99, unsent),
        p999=_estimate(latency, P999, unsent),
        service_p99=_estimate(pooled.service if pooled else None, P99),
        drift=moved,
        ranges=ranges,
    )


def _estimate(latency: Distribution | None, quantile: Fraction, unsent: int = 0) -> Estimate | None:
    return None if latency is None else estimate(latency, quantile, unsent)


def _ranges(rounds: tuple[Round, ...]) -> dict[str, Range]:
    if len(rounds) < FEWEST:
        return {}
    shown: tuple[Metric, ...] = (METRICS["p50"], METRICS["p99"], THROUGHPUT, CAPACITY)
    found = ((metric.name, interval(rounds, metric)) for metric in shown)
    return {name: made for name, made in found if made is not None}


def _order(row: Row) -> tuple[bool, float, str]:
    return not row.usable, math.inf if row.p99 is None else row.p99.value_us, row.label


def _open_loop(rows: list[Row]) -> bool:
    measured = [row.pooled for row in rows if row.pooled is not None]
    if measured:
        return any(pooled.offered_rps is not None for pooled in measured)
    return rows[0].cell.profile.name != "closed"


def _server_name(target: Target, several_launchers: bool) -> str:
    name = wording.clean(target.server)
    return f"{name} ({wording.clean(target.launcher)})" if several_launchers else name


def _artifact_names(result: RunResult) -> dict[str, str]:
    """The format; the model, the framework and the precision are said only where there are several."""
    manifests = {cell.manifest.id: cell.manifest for cell in result.cells}
    several_models = len({manifest.model for manifest in manifests.values()}) > 1
    frameworks: dict[str, set[str]] = defaultdict(set)
    precisions: dict[str, set[str]] = defaultdict(set)
    for manifest in manifests.values():
        frameworks[manifest.format].add(manifest.framework)
        precisions[manifest.format].add(manifest.precision)

    def name(manifest: Manifest) -> str:
        parts = [manifest.model, manifest.format] if several_models else [manifest.format]
        if manifest.framework == GIVEN:
            parts += ["as given"] if len(frameworks[manifest.format]) > 1 else []
            return wording.clean(" ".join(parts))
        parts += [manifest.precision] if len(precisions[manifest.format] - {GIVEN}) > 1 else []
        parts += [f"from {manifest.framework}"] if len(frameworks[manifest.format]) > 1 else []
        return wording.clean(" ".join(parts))

    return {identity: name(manifest) for identity, manifest in manifests.items()}
