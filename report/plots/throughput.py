"""p99 against throughput: one figure per model and encoding class, one point per row and load, a row's points joined.

The steps of a search (`sweep`, `capacity`) are loads too: they make its curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import wording
from ..percentiles import P99, Estimate, decode, estimate
from ..rows import Group, Row
from .figure import FAINT, Figure, Look, layout, log_axis, milliseconds, shown, span


@dataclass(frozen=True, slots=True)
class _Point:
    group: Group
    row: Row
    p99: Estimate
    rps: float
    load: str
    verdict: str

    @property
    def bound_us(self) -> int:
        return self.p99.value_us if self.p99.bound_us is None else self.p99.bound_us

    @property
    def text(self) -> str:
        p99 = f"p99 {wording.milliseconds(self.p99.value_us)} ms, at most {wording.milliseconds(self.p99.bound_us)} ms"
        return "<br>".join([shown(self.load), p99, f"{wording.rate(self.rps)} replies/s", self.verdict])


def throughput_figures(groups: Sequence[Group], styles: dict[str, Look]) -> list[Figure]:
    """All figures share their axes, so that they can be read side by side. A row without a successful reply has no point."""
    points = [point for group in groups for row in group.rows for point in _points(group, row) if point.rps > 0]
    xaxis = log_axis("successful replies per second", span([point.rps for point in points]))
    latencies = [milliseconds(us) for point in points for us in (point.p99.value_us, point.bound_us)]
    yaxis = log_axis("p99 latency, ms", span(latencies))
    made = []
    for model, encoding in sorted({(point.group.model, point.group.encoding) for point in points}):
        members = [point for point in points if (point.group.model, point.group.encoding) == (model, encoding)]
        data = {"data": _paths(members, styles), "layout": layout(xaxis=xaxis, yaxis=yaxis)}
        made.append(Figure(f"{model}, {encoding}", _caption(members), 420, data))
    return made


def _points(group: Group, row: Row) -> list[_Point]:
    """The row, or each step of its searches that was measured."""
    made = []
    for probe in (probe for cell in row.attempts for probe in cell.probes if probe.measurement is not None):
        assert probe.measurement is not None
        p99 = estimate(decode(probe.measurement.latency_hdr), P99, probe.measurement.unsent)
        if p99 is not None:
            made.append(_Point(group, row, p99, probe.measurement.throughput_rps, wording.profile(probe.profile), probe.verdict))
    if made or row.p99 is None:
        return made
    return [_Point(group, row, row.p99, row.throughput, group.profile, row.verdict)]


def _firm(point: _Point) -> bool:
    return point.row.usable and point.verdict == "VALID"


def _caption(members: Sequence[_Point]) -> str:
    parts = ["Lower and further right is better."]
    for kind, open_loop in (("Hollow", True), ("Filled", False)):
        profiles = sorted({point.group.profile for point in members if point.group.open_loop is open_loop})
        parts += [f"{kind}: {' or '.join(profiles)}."] if profiles else []
    parts.append("The whisker ends at the p99's upper bound (95%).")
    parts += ["Faint: supports no claim."] if any(not _firm(point) for point in members) else []
    return " ".join(parts)


def _paths(members: Sequence[_Point], styles: dict[str, Look]) -> list[dict[str, Any]]:
    labels = sorted({point.row.label for point in members})
    by_rate = sorted(members, key=lambda point: point.rps)
    return [_path(label, [point for point in by_rate if point.row.label == label], styles[label]) for label in labels]


def _path(label: str, points: Sequence[_Point], look: Look) -> dict[str, Any]:
    heights = [milliseconds(point.p99.value_us) for point in points]
    whiskers = [milliseconds(point.bound_us) - height for point, height in zip(points, heights, strict=True)]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": shown(label),
        "x": [point.rps for point in points],
        "y": heights,
        "error_y": {"type": "data", "symmetric": False, "array": whiskers, "arrayminus": [0.0] * len(points), "thickness": 1, "width": 4},
        "line": {"color": look.colour, "width": 1, "dash": "dot"},
        "marker": {
            "color": look.colour,
            "symbol": [look.symbol + ("-open" if point.group.open_loop else "") for point in points],
            "size": 11,
            "opacity": [1.0 if _firm(point) else FAINT for point in points],
            "line": {"width": 2, "color": look.colour},
        },
        "text": [point.text for point in points],
        "hovertemplate": "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
    }
