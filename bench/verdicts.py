"""How often the verdict is right: `python -m bench.verdicts`. Through the real load test, rounds, intervals and comparison.

Three fixed servers run beside each other: `base`, its `twin`, and one that is `slowed` in the server. Each comparison is a load test of its
own over all three. base against twin should give "no difference shown", base against slowed "slower".
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.stand_ins import StandIns, units_for
from loadtests import validity
from loadtests.plan import make
from loadtests.run import load_test
from loadtests.validity import Limits
from report.compare import compare_runs
from serveoff import storage
from serveoff.console import Console
from serveoff.results import RunResult
from serveoff.selection import Selection

PAIRS = {"A/A": ("twin", "no difference shown"), "A/B": ("slowed", "slower")}
GOAL = 0.85
"""17 of 20."""
ANYTHING = Limits(
    client_cpu=math.inf,
    client_cpu_peak=math.inf,
    hub_lag_ms=math.inf,
    hub_lag_share=math.inf,
    other_cpu=math.inf,
    idle_cpu=0,
    stolen_cpu=math.inf,
)
"""Nothing around a measurement makes it void."""


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="serveoff-verdicts-"))
    stand_ins = StandIns(folder)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PAIRS}
    if options.busy:
        validity.USUAL = ANYTHING
    try:
        _start(stand_ins, options)
        for number in range(options.comparisons):
            for kind, said in _compare(stand_ins, options, number).items():
                found[kind].append(said)
                if not options.json:
                    print(_sentence(number + 1, kind, said), flush=True)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        stand_ins.close()
        shutil.rmtree(folder, ignore_errors=True)
    _show(options, found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=__doc__)
    parser.add_argument("--comparisons", type=int, default=20, help="of each kind (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round (default: %(default)s)")
    parser.add_argument(
        "--turn", type=float, default=0.1, help="seconds of the turns that the targets take; 0: each whole (default: %(default)s)"
    )
    parser.add_argument("--users", type=int, default=2, help="of the closed loop (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0, help="an open loop at so many requests/s instead of the closed one")
    parser.add_argument("--metric", help="what the verdict is about; the default is that of `serveoff compare`")
    parser.add_argument("--work", choices=("cpu", "wait"), default="cpu", help="what the servers do (default: %(default)s)")
    parser.add_argument("--ms", type=float, default=3.0, help="how long one request's work takes (default: %(default)s)")
    parser.add_argument("--slowed", type=float, default=0.10, help="by how much the third server does more (default: %(default)s)")
    parser.add_argument("--busy", action="store_true", help="count rounds whatever else the machine was doing; for a first look only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def _start(stand_ins: StandIns, options: argparse.Namespace) -> None:
    units = units_for(options.ms)
    for name, factor in (("base", 1.0), ("twin", 1.0), ("slowed", 1 + options.slowed)):
        stand_ins.start(name, "--work", options.work, "--units", str(round(units * factor)), "--ms", str(options.ms * factor))


def _compare(stand_ins: StandIns, options: argparse.Namespace, number: int) -> dict[str, dict[str, Any]]:
    load = f"constant:rate_rps={options.rate}" if options.rate else f"closed:users={options.users}"
    plan = make(
        [f"{load},duration_s={options.seconds}"],
        rounds=options.rounds,
        seed=number + 1,
        warmup_s=0.5,
        warmup_limit_s=2,
        turn_s=options.turn,
    )
    started = time.monotonic()
    directory = load_test(Selection(), plan, stand_ins.workspace, Console(quiet=True))
    took_s = time.monotonic() - started
    cells = storage.read(directory / "run.json", RunResult).cells
    said = {}
    for kind, (other, _) in PAIRS.items():
        mine = [cell for cell in cells if cell.target.server in ("base", other)]
        line = compare_runs(directory, None, ("@base.", f"@{other}."), metric=options.metric).lines[0]
        main = next((each for each in line.figures if each.primary), None)
        said[kind] = {
            "verdict": line.verdict,
            "reason": line.reason,
            "metric": main.metric if main else None,
            "ratio": main.ratio if main else None,
            "low": main.low if main else None,
            "high": main.high if main else None,
            "rounds": line.rounds,
            "void": sum(cell.verdict == "INVALID" for cell in mine),
            "void_reasons": sorted({reason for cell in mine for reason in cell.reasons}),
            "seconds": round(took_s, 1),
        }
    shutil.rmtree(directory)
    return said


def _sentence(number: int, kind: str, said: dict[str, Any]) -> str:
    ratio = "no ratio" if said["ratio"] is None else f"{said['metric']} {said['ratio']:.3f}"
    around = "" if said["low"] is None else f" ({said['low']:.3f} to {said['high']:.3f})"
    void = f", {said['void']} void" if said["void"] else ""
    reason = f": {said['reason']}" if said["reason"] else ""
    return f"{number:3d} {kind} {ratio}{around}, {said['rounds']} rounds{void}, {said['seconds']} s: {said['verdict']}{reason}"


def _show(options: argparse.Namespace, found: dict[str, list[dict[str, Any]]]) -> None:
    if options.json:
        print(json.dumps({"options": vars(options), "comparisons": found}, indent=2))
        return
    for kind, (other, wanted) in PAIRS.items():
        words = Counter(said["verdict"] for said in found[kind])
        total = len(found[kind])
        met = "met" if words[wanted] >= GOAL * total else "MISSED"
        others = ", ".join(f"{times} {word}" for word, times in words.items() if word != wanted)
        print(f"{kind}, base against {other}: '{wanted}' {words[wanted]} of {total} ({met}){'; ' + others if others else ''}")


if __name__ == "__main__":
    sys.exit(main())
