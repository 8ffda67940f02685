"""Each second of each row: its median latency above, its successful replies below."""

from __future__ import annotations

from typing import Any

from ..percentiles import P50, estimate
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
        xaxis=axis("seconds of the measured windows", anchor="y2"),
        yaxis=log_axis("p50, ms", span(medians)) | {"domain": [0.54, 1.0]},
        yaxis2=axis("replies/s", rangemode="tozero", domain=[0.0, 0.44]),
    )
    caption = "A steady run is flat. A slope, a step or a spike says that the row's percentiles mix two states."
    return Figure("Second by second", caption, 420, {"data": traces, "layout": made})


def _seconds(row: Row, look: Look) -> list[dict[str, Any]]:
    """The rounds stand one behind the other, with a gap between them: what lay between them in time were other rows."""
    xs: list[float] = []
    medians: list[float | None] = []
    rates: list[float | None] = []
    texts: list[str] = []
    before_s = 0.0
    for number, each in enumerate(r for r in row.rounds if r.measurement.intervals):
        if number:
            xs, medians, rates, texts = [*xs, before_s], [*medians, None], [*rates, None], [*texts, ""]
        for block in each.blocks:
            if each.measurement.window_s - block.start_s < _SHORTEST_S:
                continue
            p50 = estimate(block.latency, P50)
            xs.append(before_s + block.start_s)
            medians.append(milliseconds(p50.value_us) if p50 else None)
            rates.append(block.latency.n / block.seconds)
            texts.append(f"{block.errors} errors" + (f", round {each.number}" if len(row.rounds) > 1 else ""))
        before_s += each.measurement.window_s
    if not xs:
        return []
    shared: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": shown(row.label),
        "legendgroup": shown(row.label),
        "x": xs,
        "line": {"color": look.colour, "width": 1.6, "dash": look.dash},
        "marker": {"size": 5, "symbol": look.symbol},
        "opacity": 1.0 if row.usable else FAINT,
    }
    hover = "<b>%{fullData.name}</b><br>second %{x}: "
    median = shared | {"yaxis": "y", "y": medians, "hovertemplate": f"{hover}p50 %{{y:.3f}} ms<extra></extra>"}
    rate = {
        "yaxis": "y2",
        "showlegend": False,
        "y": rates,
        "text": texts,
        "hovertemplate": f"{hover}%{{y:.0f}}/s, %{{text}}<extra></extra>",
    }
    return [median, shared | rate]
