"""What every figure of the report shares: its shape, how a row looks, and the axes.

Figures are plain plotly data. Latencies are milliseconds on logarithmic axes. The colours of text and grid come from the page, so that
a figure suits dark and light.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..rows import Group

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F"),
    *("#882255", "#999933", "#CC6677", "#44AA99", "#6A5ACD", "#DDCC77"),
)
"""Okabe and Ito's colours, told apart by colour-blind readers, without the yellow that is lost on white; then some of Tol's muted ones:
in all formats and precisions one model has many artifacts."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "hexagon", "cross")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
FAINT = 0.35
"""The opacity of a row that supports no claim."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`data` is what plotly draws: `{"data": [...], "layout": {...}}`; `caption` says in words what it shows."""

    title: str
    caption: str
    height: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """The same in every figure: the colour says the format, the marker the server, the dash the server and protocol."""

    colour: str
    symbol: str
    dash: str


def looks(groups: Sequence[Group]) -> dict[str, Look]:
    """The look of each row, by its label. All are given out in alphabetical order; dashes start anew in each encoding class."""
    rows = [row for group in groups for row in group.rows]
    colours = _assigned(COLOURS, (row.artifact for row in rows))
    symbols = _assigned(SYMBOLS, (row.server for row in rows))
    made = {}
    for encoding in {group.encoding for group in groups}:
        members = [row for group in groups if group.encoding == encoding for row in group.rows]
        dashes = _assigned(DASHES, ((row.server, row.cell.protocol) for row in members))
        for row in members:
            made[row.label] = Look(colours[row.artifact], symbols[row.server], dashes[row.server, row.cell.protocol])
    return made


def _assigned(values: tuple[str, ...], keys: Iterable[Any]) -> dict[Any, str]:
    return {key: values[index % len(values)] for index, key in enumerate(sorted(set(keys)))}


def milliseconds(latency_us: int) -> float:
    """For a logarithmic axis: at least one microsecond."""
    return max(latency_us, 1) / 1000


def shown(text: str) -> str:
    """Plotly reads a little HTML in texts; a name is only ever a name."""
    return html.escape(text)


def layout(**axes: dict[str, Any]) -> dict[str, Any]:
    return {
        "margin": {"l": 64, "r": 16, "t": 32, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "y": 0, "yanchor": "bottom"},
        **axes,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 8}, "zeroline": False, "automargin": True, **more}


def log_axis(title: str, span: tuple[float, float]) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of every decade, or at 1 only where there are many decades."""
    low, high = span
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 3 else (1,)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    return axis(
        title,
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks],
    )


def span(values: Sequence[float]) -> tuple[float, float]:
    """A range with some air around positive values; never less than about a factor of two wide."""
    low, high = (min(values), max(values)) if values else (1.0, 1.0)
    middle = math.sqrt(low * high)
    return min(low / 1.2, middle / 1.5), max(high * 1.2, middle * 1.5)
