"""PyTorch's training throughput over Keras's, model by model, with the interval."""

from __future__ import annotations

from serveoff.training import ThroughputResult

from ..bootstrap import THROUGHPUT
from ..speeds import turns
from ..verdicts import compare
from .figure import COLOURS, Figure, axis, layout, log_axis, shown, span


def speeds_figure(result: ThroughputResult) -> Figure | None:
    """None where no model was measured in both frameworks."""
    rows = {(row.model, row.framework): row for row in result.rows}
    models = [model for model, framework in rows if framework == "keras" and (model, "pytorch") in rows]
    ratios = [compare(turns(rows[m, "keras"]), turns(rows[m, "pytorch"]), THROUGHPUT, paired=True) for m in models]
    found = [(model, c) for model, c in zip(models, ratios, strict=True) if c.value]
    if not found:
        return None
    values = [c.value or 1.0 for _, c in found]
    lows = [c.ratio.interval.low if c.ratio else value for (_, c), value in zip(found, values, strict=True)]
    highs = [c.ratio.interval.high if c.ratio else value for (_, c), value in zip(found, values, strict=True)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "pytorch to keras",
        "x": values,
        "y": [shown(model) for model, _ in found],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value for high, value in zip(highs, values, strict=True)],
            "arrayminus": [value - low for low, value in zip(lows, values, strict=True)],
        },
        "marker": {"color": COLOURS[0], "size": 9},
        "hovertemplate": "<b>%{y}</b><br>%{x:.2f} times<extra></extra>",
    }
    line = {"dash": "dot", "width": 1.5, "color": COLOURS[7]}
    equal = {"type": "line", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    made = layout(
        xaxis=log_axis("pytorch's training throughput in units of keras's", span([*lows, *highs, 1.0])),
        yaxis=axis("", autorange="reversed"),
    )
    caption = "Right of the dotted line PyTorch trains faster, left of it Keras. The bars are 95% intervals over the rounds."
    return Figure("Training throughput", caption, 120 + 40 * len(found), {"data": [trace], "layout": made | {"shapes": [equal]}})
