"""Latency at every percentile, the tail stretched: the x axis is 1 / (1 - p), as in HdrHistogram's own plots."""

from __future__ import annotations

import math
from typing import Any

from ..percentiles import SAMPLES_BEYOND, Distribution
from ..rows import Group, Row
from .figure import FAINT, Figure, Look, axis, layout, log_axis, milliseconds, shown, span

_POINTS = 160
_TICKS = {2: "50%", 10: "90%", 100: "99%", 1000: "99.9%", 10_000: "99.99%", 100_000: "99.999%", 1_000_000: "99.9999%"}


def distribution_figure(group: Group, styles: dict[str, Look]) -> Figure | None:
    """One curve per row; None when no row of the group has a successful reply."""
    traces: list[dict[str, Any]] = []
    most = 0
    for row in group.rows:
        if row.latency is not None and row.latency.n:
            traces += _curves(row, row.latency, styles[row.label])
            most = max(most, row.latency.n)
    if not traces:
        return None
    ticks = [tick for tick in _TICKS if tick <= max(most, 100)]
    made = layout(
        xaxis=axis("percentile", type="log", tickvals=ticks, ticktext=[_TICKS[tick] for tick in ticks]),
        yaxis=log_axis("latency, ms", span([y for trace in traces for y in trace["y"]])),
    )
    caption = f"The latency that this share of the replies did not exceed. Thin and dotted: fewer than {SAMPLES_BEYOND} replies lie beyond."
    return Figure("Latency distribution", caption, 420, {"data": traces, "layout": made})


def _curves(row: Row, latency: Distribution, look: Look) -> list[dict[str, Any]]:
    """The part that stands on enough replies, and the thin rest up to the slowest one."""
    firm = max(1.0, latency.n / SAMPLES_BEYOND)
    return [
        _curve(row, latency, _steps(1.0, firm)) | {"line": {"color": look.colour, "width": 2.2, "dash": look.dash}},
        _curve(row, latency, _steps(firm, float(latency.n)))
        | {"line": {"color": look.colour, "width": 1, "dash": "dot"}, "showlegend": False},
    ]


def _curve(row: Row, latency: Distribution, xs: list[float]) -> dict[str, Any]:
    ranks = [min(latency.n, max(1, math.ceil(latency.n * (1 - 1 / x) - 1e-9))) for x in xs]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": shown(row.label),
        "legendgroup": shown(row.label),
        "x": xs,
        "y": [milliseconds(latency.at_rank(rank)) for rank in ranks],
        "opacity": 1.0 if row.usable else FAINT,
        "customdata": [f"{100 * (1 - 1 / x):.5g}" for x in xs],
        "hovertemplate": "<b>%{fullData.name}</b><br>%{customdata}%: %{y:.3f} ms<extra></extra>",
    }


def _steps(low: float, high: float) -> list[float]:
    """Evenly spread on a logarithmic axis, both ends included."""
    if high <= low:
        return [low]
    return [low * (high / low) ** (index / (_POINTS - 1)) for index in range(_POINTS)]
