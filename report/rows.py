"""The cells of a run with their percentiles, in the groups within which they may be compared."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from serveoff.contract import Cell, Manifest, RunResult, Target
from serveoff.errors import InputError

from . import wording
from .percentiles import P50, P90, P99, P999, Distribution, Drift, Estimate, decode, drift, estimate

EMBEDDED = "embedded"
"""The server plug-in whose numbers are ours, and never those of TF Serving or TorchServe."""


@dataclass(frozen=True, slots=True)
class Row:
    """One cell. The estimates are None when nothing was measured, or nothing succeeded."""

    cell: Cell
    server: str
    artifact: str
    latency: Distribution | None
    p50: Estimate | None
    p90: Estimate | None
    p99: Estimate | None
    p999: Estimate | None
    service_p99: Estimate | None
    drift: Drift | None

    @property
    def label(self) -> str:
        return f"{self.artifact} on {self.server} over {wording.clean(self.cell.protocol)}"

    @property
    def embedded(self) -> bool:
        return self.cell.target.server == EMBEDDED

    @property
    def usable(self) -> bool:
        """Whether the numbers may support a claim: VALID, measured, and the answers are the source model's."""
        right = self.cell.manifest.parity.passed and self.cell.live_check.passed
        return self.cell.verdict == "VALID" and self.p99 is not None and right

    @property
    def throughput(self) -> float:
        return 0.0 if self.cell.measurement is None else self.cell.measurement.throughput_rps


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one model, one load profile and one encoding class, sorted: usable ones by p99, then the others."""

    model: str
    profile: str
    encoding: str
    open_loop: bool
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return f"{self.model}: {self.profile}, {self.encoding}"

    @property
    def usable(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.usable)


def groups(result: RunResult) -> list[Group]:
    """Every cell of the run. Open loops come first: they are the headline."""
    artifact_names = _artifact_names(result)
    several_launchers = len({cell.target.launcher for cell in result.cells}) > 1
    profile_name = wording.profiles(cell.profile for cell in result.cells)
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for cell in result.cells:
        key = wording.clean(cell.manifest.model), profile_name(cell.profile), wording.clean(cell.encoding)
        found[key].append(_row(cell, _server_name(cell.target, several_launchers), artifact_names[cell.manifest.id]))
    made = [Group(*key, open_loop=_open_loop(rows), rows=tuple(sorted(rows, key=_order))) for key, rows in found.items()]
    return sorted(made, key=lambda group: (group.model, not group.open_loop, group.profile, group.encoding))


def _row(cell: Cell, server: str, artifact: str) -> Row:
    measured = cell.measurement
    if measured is None:
        return Row(cell, server, artifact, None, None, None, None, None, None, None)
    try:
        latency, service = decode(measured.latency_hdr), decode(measured.service_hdr)
        moved = drift(measured)
    except InputError as error:
        raise InputError(f"{wording.clean(cell.target.id)}, {wording.clean(cell.protocol)}: {error.message}", hint=error.hint) from None
    return Row(
        cell,
        server,
        artifact,
        latency,
        p50=estimate(latency, P50),
        p90=estimate(latency, P90),
        p99=estimate(latency, P99),
        p999=estimate(latency, P999),
        service_p99=estimate(service, P99),
        drift=moved,
    )


def _order(row: Row) -> tuple[bool, float, str]:
    return not row.usable, math.inf if row.p99 is None else row.p99.value_us, row.label


def _open_loop(rows: list[Row]) -> bool:
    measured = [row.cell.measurement for row in rows if row.cell.measurement is not None]
    if measured:
        return any(m.offered_rps is not None for m in measured)
    return rows[0].cell.profile.name != "closed"


def _server_name(target: Target, several_launchers: bool) -> str:
    name = wording.clean(target.server)
    return f"{name} ({wording.clean(target.launcher)})" if several_launchers else name


def _artifact_names(result: RunResult) -> dict[str, str]:
    """The format; the framework and the precision are said only where a format comes in several."""
    manifests = {cell.manifest.id: cell.manifest for cell in result.cells}
    frameworks: dict[str, set[str]] = defaultdict(set)
    precisions: dict[str, set[str]] = defaultdict(set)
    for manifest in manifests.values():
        frameworks[manifest.format].add(manifest.framework)
        precisions[manifest.format].add(manifest.precision)

    def name(manifest: Manifest) -> str:
        parts = [manifest.format]
        parts += [manifest.precision] if len(precisions[manifest.format]) > 1 else []
        parts += [f"from {manifest.framework}"] if len(frameworks[manifest.format]) > 1 else []
        return wording.clean(" ".join(parts))

    return {identity: name(manifest) for identity, manifest in manifests.items()}
