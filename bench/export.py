"""What our isolation, hashing and verification cost over the bare converters: full resnet50, each format, both ways in the same run.

    python -m bench.export                       # resnet50, all of its float32 formats: 10 to 20 minutes
    python -m bench.export --model digits_cnn    # a first look: 2 minutes

A bare call is what one writes without us: a fresh Python that imports the framework, builds the model and calls the converter. Both are
timed from outside, in turns. The floor that `serveoff export` measures of each artifact is left out (`--no-facts`): it is a measurement.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.figures import Goal, figure
from serveoff import process
from serveoff.console import Console
from serveoff.contract import Manifest
from serveoff.errors import GateError
from serveoff.registry import load_module
from serveoff.selection import Selection
from serveoff.workspace import Workspace

GOAL = 1.25
_LIMIT_S = 1800.0
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds from outside, and the peak memory of the process that converted."""

    artifact: str
    bare_s: float
    bare_bytes: int
    ours_s: float
    ours_bytes: int

    @property
    def ratio(self) -> float:
        return self.ours_s / self.bare_s


def main() -> int:
    options = _options()
    workspace = Workspace(Path(tempfile.mkdtemp(prefix="serveoff-export-")))
    try:
        selection = Selection(models=(options.model,), formats=tuple(options.format) or ("all",), precisions=tuple(options.precision))
        load_module("models.train").train(Selection(models=(options.model,)), workspace, Console(quiet=True))
        rows: list[Row] = []
        for cell in load_module("export.matrix").matrix(selection, workspace):
            if missing := cell.source.missing():
                print(f"{cell.id} is left out: {missing}", file=sys.stderr)
                continue
            rows.append(_row(cell, workspace, ours_first=len(rows) % 2 == 1))
            if not options.json:
                print(_sentence(rows[-1]), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        process.end_all(process.owned(workspace.root), grace_s=0)
        shutil.rmtree(workspace.root, ignore_errors=True)
    goal = _goal(rows)
    if options.json:
        print(json.dumps({"model": options.model, "rows": [asdict(row) for row in rows], "goals": [goal.as_json()]}, indent=2))
    else:
        print(f"{goal.name}: {goal.value.median:.2f} (goal: at most {goal.limit}): {goal.verdict}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="resnet50", help="a model, or NAME@SIZE (default: %(default)s)")
    parser.add_argument("--format", action="append", default=[], help="this format only; repeatable (default: all)")
    parser.add_argument("--precision", action="append", default=[], help="repeatable (default: float32; 'all' takes twice as long)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    options.precision = options.precision or ["float32"]
    return options


def _row(cell: Any, workspace: Workspace, *, ours_first: bool) -> Row:
    """Whichever is first reads the libraries from the disk for both."""
    if ours_first:
        (ours_s, manifest), (bare_s, bare_bytes) = _ours(cell, workspace), _bare(cell, workspace)
    else:
        (bare_s, bare_bytes), (ours_s, manifest) = _bare(cell, workspace), _ours(cell, workspace)
    return Row(cell.id, bare_s, bare_bytes, ours_s, manifest.peak_memory_bytes)


def _ours(cell: Any, workspace: Workspace) -> tuple[float, Manifest]:
    stage = load_module("export.export")
    selection = Selection(models=(cell.model,), frameworks=(cell.framework,), formats=(cell.format,), precisions=(cell.precision,))
    started = time.monotonic()
    ((outcome,), _) = stage.export(selection, workspace, Console(quiet=True), force=True, facts=False)
    ours_s = time.monotonic() - started
    if outcome.manifest is None:
        raise GateError(f"{cell.id} was not made: {outcome.reason}")
    return ours_s, outcome.manifest


def _bare(cell: Any, workspace: Workspace) -> tuple[float, int]:
    """Seconds and bytes of the converter's call in a Python of its own."""
    directory = Path(tempfile.mkdtemp(dir=workspace.root))
    argv = (sys.executable, "-P", "-m", "bench.export_bare", cell.model, cell.framework, cell.format, cell.precision)
    done = process.run_child(
        (*argv, str(workspace.checkpoint(cell.model)), str(directory)),
        env=process.environment(workspace.root, {**_QUIET, "TORCHINDUCTOR_CACHE_DIR": str(directory.with_suffix(".inductor"))}),
        log=directory.with_suffix(".log"),
        timeout_s=_LIMIT_S,
        cwd=Path(__file__).resolve().parent.parent,
    )
    shutil.rmtree(directory)
    if not done.ok:
        raise GateError(f"the bare call of {cell.id} ended with exit code {done.exit_code}: {done.tail[-500:]}")
    return done.seconds, int(done.tail.splitlines()[-1])


def _sentence(row: Row) -> str:
    bare = f"{row.bare_s:6.1f} s {row.bare_bytes / 2**30:5.2f} GiB"
    ours = f"{row.ours_s:6.1f} s {row.ours_bytes / 2**30:5.2f} GiB"
    return f"{row.artifact:45} bare {bare}, ours {ours}: {row.ratio:.2f} times"


def _goal(rows: list[Row]) -> Goal:
    whole = sum(row.ours_s for row in rows) / sum(row.bare_s for row in rows)
    return Goal("time of all exports over the bare calls' with their imports", "x", figure([whole]), GOAL, rising=False)


if __name__ == "__main__":
    sys.exit(main())
