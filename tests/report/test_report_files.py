"""report.md and report.html of recorded runs: complete, escaped, offline."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from report.command import write_report
from serveoff import storage
from serveoff.contract import Skip
from serveoff.errors import InputError
from serveoff.results import RunResult

HOSTILE = "<script>alert('x')</script>|*b*[l](javascript:x)`c`\x1b[2J"


class Page(HTMLParser):
    """The tags with their attributes, and each script's text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._script: dict[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs) if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts.append((self._script, data))
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    @property
    def figures(self) -> list[dict[str, Any]]:
        return [json.loads(text) for attributes, text in self.scripts if attributes.get("type") == "application/json"]

    @property
    def code(self) -> list[str]:
        return [text for attributes, text in self.scripts if not attributes]


def written(run: RunResult, folder: Path) -> tuple[str, Page]:
    storage.write(folder / "run.json", run)
    text, html = write_report(folder)
    assert (text.name, html.name) == ("report.md", "report.html")
    return text.read_text(encoding="utf-8"), Page(html.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(recorded_run: RunResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return written(recorded_run, tmp_path_factory.mktemp("run"))


def row_of(markdown: str, section: str, *cells: str) -> list[str]:
    """The cells of the one row that starts with `cells`, in the section of that title."""
    body = markdown.split(f"{section}\n", 1)[1].split("\n#", 1)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in body.splitlines() if line.startswith("|")]
    found = [row for row in rows if all(cell in row for cell in cells)]
    assert len(found) == 1, found
    return found[0]


def test_a_row_shows_every_figure(report: tuple[str, Page], recorded_run: RunResult) -> None:
    row = row_of(report[0], "### digits_cnn: constant, 200/s, binary", "embedded", "tflite")
    assert row[:5] == ["embedded", "tflite", "float32", "keras", "tfs_grpc"]
    assert all(re.fullmatch(r"\d+\.\d{3}", figure) for figure in row[5:9])
    assert row[9:] == ["200", "200", "0", "1,600", "301 B", "240 kB", "pass 1.2e-6", "VALID"]


def test_rows_stand_in_the_order_of_their_p99_and_unusable_ones_last(report: tuple[str, Page]) -> None:
    body = report[0].split("### digits_cnn: closed, 8 users, json\n", 1)[1].split("\n#", 1)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in body.splitlines() if line.startswith("|")][2:]
    assert [row[-1].split()[0] for row in rows] == ["VALID"] * 4 + ["INVALID"] * 2
    tails = [float(row[7]) for row in rows[:4]]
    assert tails == sorted(tails)
    assert rows[-1][5:9] == ["-"] * 4


@pytest.mark.parametrize("where", [0, 1])
def test_reasons_errors_and_skips_are_said(report: tuple[str, Page], where: int) -> None:
    text = report[0] if where == 0 else report[1].text
    assert "INVALID: the load process used 97 % of its core." in text
    assert "INVALID: the server died after 3 s, exit 137." in text
    assert "2 overload (no text kept); 3 timeout (first: no reply in 10 s)" in text
    assert "no docker command, and no tensorflow_model_server on PATH" in text
    assert "marks fewer replies (n) than the percentile needs: p50 20, p90 100, p99 1,000." in text
    assert "8.495†" in text


def test_training_twins_exports_load_and_machine_are_told(report: tuple[str, Page]) -> None:
    markdown = report[0]
    assert row_of(markdown, "### Accuracy", "pytorch") == ["digits_cnn", "pytorch", "7", "20", "98.61%", "4.50 s", "-", "9,930", "its own"]
    assert row_of(markdown, "## Twins", "digits_cnn")[:3] == ["digits_cnn", "pytorch", "pass 9.5e-7"]
    assert row_of(markdown, "## Exports", "onnx")[4:8] == ["3.25 s", "0.5 GiB", "560 kB", "pass 1.2e-6"]
    assert row_of(markdown, "## Load", "profiles")[1] == "closed, 8 users, 8 s; constant, 200/s, 32 connections, 8 s"
    assert row_of(markdown, "## Load", "warm-up, not counted")[1] == "0.50 s to 1.50 s"
    assert row_of(markdown, "## Machine", "torch")[1] == "2.13.0"
    assert row_of(markdown, "## How each row was measured", "savedmodel on embedded over tfs_grpc", "constant, 200/s, binary")[-2:] == [
        "process",
        "pass 2.4e-7",
    ]


def test_a_table_is_aligned_as_plain_text(report: tuple[str, Page]) -> None:
    for block in re.findall(r"(?:^\|.*\|\n)+", report[0], flags=re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1


def test_the_page_fetches_nothing_and_runs_only_its_own_scripts(report: tuple[str, Page]) -> None:
    page = report[1]
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    assert {base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in page.code} == allowed
    assert len(page.code) == 2
    assert not [
        (tag, a) for tag, a in page.tags if {"src", "href", "srcset", "data", "action"} & set(a) or any(k.startswith("on") for k in a)
    ]


def test_every_figure_is_one_that_plotly_draws(report: tuple[str, Page]) -> None:
    figures = report[1].figures
    assert len(figures) == 2 + 4 * 2 + 1
    for figure in figures:
        go.Figure(figure)


def test_the_scatter_has_one_point_per_measured_cell(report: tuple[str, Page], recorded_run: RunResult) -> None:
    points = [point for figure in report[1].figures[:2] for trace in figure["data"] for point in zip(trace["x"], trace["y"], strict=True)]
    assert len(points) == sum(1 for cell in recorded_run.cells if cell.measurement is not None)


def test_the_distribution_rises_and_ends_at_the_slowest_reply(report: tuple[str, Page]) -> None:
    for figure in report[1].figures[2::2]:
        for trace in figure["data"]:
            assert trace["y"] == sorted(trace["y"])
            assert trace["x"] == sorted(trace["x"])


def test_hostile_names_stay_text(make: Any, tmp_path: Path) -> None:
    measured = make.measurement(make.lognormal(500, 1600, seed=1), 200.0, errors={HOSTILE: 2}, texts={HOSTILE: HOSTILE})
    artifact = make.manifest("pytorch", HOSTILE, model=HOSTILE)
    bad = make.cell(HOSTILE, artifact, HOSTILE, make.CONSTANT, measured, reasons=(HOSTILE,), live=make.parity(1.0, False, HOSTILE))
    run = make.run([bad], skips=(Skip(stage="serve", what=HOSTILE, reason=HOSTILE),), run_id=HOSTILE)
    markdown, page = written(run, tmp_path)
    assert "<script" not in markdown
    assert "](javascript" not in markdown.replace("\\](", "")
    assert "\x1b" not in markdown
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.split("## Skipped")[1].split("##")[0].splitlines() if line} == {4}
    assert len(page.code) == 2
    assert page.text.count("<script>alert('x')</script>") > 10
    for figure in page.figures:
        assert all("&lt;script&gt;" in trace["name"] and "<script" not in trace["name"] for trace in figure["data"])


def test_an_empty_run_still_reports(make: Any, tmp_path: Path) -> None:
    markdown, page = written(make.run([]), tmp_path)
    for text in (markdown, page.text):
        assert "No row was measured, so there is no answer." in text
        assert "Nothing was skipped." in text
    assert page.figures == []


def test_rows_without_a_single_success_still_report(make: Any, tmp_path: Path) -> None:
    failed = make.measurement(make.lognormal(500, 0, seed=1), 200.0, errors={"refused": 50})
    cell = make.cell("torchserve", make.manifest("pytorch", "onnx"), "torchserve_rest", make.CONSTANT, failed, ("errors: 100 %",))
    markdown, page = written(make.run([cell]), tmp_path)
    assert row_of(markdown, "### digits_cnn: constant, 200/s, json", "torchserve")[5:12] == ["-", "-", "-", "-", "0.0", "200", "50 [1]"]
    assert len(page.figures) == 1 + 1, "throughput, and the training's curves"


def test_a_damaged_histogram_names_its_row(make: Any, tmp_path: Path) -> None:
    cell = make.cell(
        "embedded", make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, make.measurement(make.lognormal(500, 50, seed=1), 200.0)
    )
    storage.write(tmp_path / "run.json", make.run([cell]))
    raw = json.loads((tmp_path / "run.json").read_text())
    raw["cells"][0]["measurement"]["latency_hdr"] = "HISTbroken"
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match="embedded, tfs_grpc: a latency histogram cannot be read"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_run_is_the_inputs_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json does not exist"):
        write_report(tmp_path)
