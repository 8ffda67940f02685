"""Each report is one HTML file that asks no host for anything: plotly, style, script and data are inside it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from serveoff.results import RunResult

from . import training, weights, wording
from .document import Document
from .plots.distribution import distribution_figure
from .plots.figure import Figure, looks
from .plots.seconds import seconds_figure
from .plots.throughput import throughput_figures

_TEMPLATES = Path(__file__).parent / "templates"


def page(document: Document, result: RunResult) -> str:
    """The report of a run."""
    groups = [section.group for section in document.sections]
    styles = looks(groups)
    figures: list[list[Figure | None]] = [[distribution_figure(group, styles), seconds_figure(group, styles)] for group in groups]
    return render(
        "report.html",
        document=document,
        title=wording.clean(result.run_id),
        throughput=throughput_figures(groups, styles),
        sections=[(section, [f for f in drawn if f is not None]) for section, drawn in zip(document.sections, figures, strict=True)],
        training_figures=training.figures(weights.training(result), result.throughput),
    )


def render(template: str, **content: object) -> str:
    """A whole file. Every text is escaped, and the page's own policy lets only these two scripts run and nothing be fetched."""
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    plotly, script = get_plotlyjs(), _text("report.js")
    return environment.get_template(template).render(
        policy=_policy(plotly, script),
        style=Markup(_text("report.css")),  # noqa: S704 - our own file
        plotly=Markup(plotly),  # noqa: S704 - the installed package's file
        script=Markup(script),  # noqa: S704 - our own file
        **content,
    )


def _policy(*scripts: str) -> str:
    allowed = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
