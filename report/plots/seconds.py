"""Each second of each row: its median latency above, its successful replies below."""

from __future__ import annotations

from typing import Any

from ..percentiles import P50, decode, estimate
from ..rows import Group, Row
from .figure import FAINT, Figure, Look, axis, layout, log_axis, milliseconds, shown, span

_SHORTEST_S = 0.5
"""A last interval shorter than this says too little to be drawn."""


def seconds_figure(group: Group, styles: dict[str, Look]) -> Figure | None:
    """Whether the rows of a group ran steadily; None when no row of it has intervals."""
    traces = [trace for row in group.rows for trace in _seconds(row, styles[row.label])]
    if not traces:
        return None
    medians = [y for trace in traces if trace["yaxis"] == "y" for y in trace["y"] if y is not None]
    made = layout(
        xaxis=axis("seconds of the measured window", anchor="y2"),
        yaxis=log_axis("p50, ms", span(medians)) | {"domain": [0.54, 1.0]},
        yaxis2=axis("replies/s", rangemode="tozero", domain=[0.0, 0.44]),
    )
    caption = "A steady run is flat. A slope, a step or a spike says that the row's percentiles mix two states."
    return Figure("Second by second", caption, 420, {"data": traces, "layout": made})


def _seconds(row: Row, look: Look) -> list[dict[str, Any]]:
    m = row.cell.measurement
    if m is None or not m.intervals:
        return []
    whole = [i for i in sorted(m.intervals, key=lambda i: i.start_s) if m.window_s - i.start_s >= _SHORTEST_S]
    found = [decode(i.latency_hdr) for i in whole]
    medians = [estimate(part, P50) for part in found]
    rates = [part.n / min(1.0, m.window_s - i.start_s) for part, i in zip(found, whole, strict=True)]
    shared: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": shown(row.label),
        "legendgroup": shown(row.label),
        "x": [i.start_s for i in whole],
        "line": {"color": look.colour, "width": 1.6, "dash": look.dash},
        "marker": {"size": 5, "symbol": look.symbol},
        "opacity": 1.0 if row.usable else FAINT,
    }
    hover = "<b>%{fullData.name}</b><br>second %{x}: "
    return [
        shared
        | {
            "yaxis": "y",
            "y": [milliseconds(p50.value_us) if p50 else None for p50 in medians],
            "hovertemplate": f"{hover}p50 %{{y:.3f}} ms<extra></extra>",
        },
        shared
        | {
            "yaxis": "y2",
            "showlegend": False,
            "y": rates,
            "text": [f"{i.errors} errors" for i in whole],
            "hovertemplate": f"{hover}%{{y:.0f}}/s, %{{text}}<extra></extra>",
        },
    ]
