"""How each framework learned: its accuracy above, its loss below, epoch by epoch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from serveoff.contract import Framework
from serveoff.training import TrainingRecord

from ..accuracy import by_framework
from .figure import COLOURS, DASHES, FAINT, Figure, axis, layout, shown

_COLOURS: dict[Framework, str] = {"keras": COLOURS[1], "pytorch": COLOURS[0]}


def curves_figures(records: Sequence[TrainingRecord]) -> list[Figure]:
    """A figure for each model."""
    found = by_framework(records)
    return [_figure(model, {f: of for (m, f), of in found.items() if m == model}) for model in dict.fromkeys(m for m, _ in found)]


def _figure(model: str, frameworks: dict[Framework, list[TrainingRecord]]) -> Figure:
    traces = [trace for place, (name, of) in enumerate(frameworks.items()) for trace in _framework(name, of, DASHES[place])]
    made = layout(
        xaxis=axis("epoch", anchor="y2"),
        yaxis=axis("validation accuracy", tickformat=".0%") | {"domain": [0.5, 1.0]},
        yaxis2=axis("training loss", type="log", domain=[0.0, 0.42]),
    )
    records = [record for of in frameworks.values() for record in of]
    said = [
        *(["Both start from the same weights."] if len({(r.seed, r.initial_sha256) for r in records}) < len(records) else []),
        *(["Bold: the mean over the seeds; faint: each seed."] if len(records) > len(frameworks) else []),
    ]
    return Figure(f"{model}: epoch by epoch", " ".join(said), 460, {"data": traces, "layout": made})


def _framework(name: Framework, of: Sequence[TrainingRecord], dash: str) -> list[dict[str, Any]]:
    line = {"color": _COLOURS[name], "dash": dash}
    made: list[dict[str, Any]] = []
    for axis_name, curves in (("y", [r.validation_curve for r in of]), ("y2", [r.loss_curve for r in of if r.loss_curve])):
        shared: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": shown(name), "legendgroup": name, "yaxis": axis_name}
        value = "%{y:.2%}" if axis_name == "y" else "%{y:.4f}"
        if len(curves) > 1:
            made += [
                shared | {"showlegend": False, "opacity": FAINT, "hoverinfo": "skip", "line": line | {"width": 1}} | _points(curve)
                for curve in curves
            ]
        if curves:
            means = [statistics.fmean(values) for values in zip(*curves, strict=False)]
            hover = f"<b>{shown(name)}</b><br>epoch %{{x}}: {value}<extra></extra>"
            made.append(shared | {"showlegend": axis_name == "y", "hovertemplate": hover, "line": line | {"width": 2.4}} | _points(means))
    return made


def _points(curve: Sequence[float]) -> dict[str, Any]:
    return {"x": list(range(1, len(curve) + 1)), "y": list(curve)}
