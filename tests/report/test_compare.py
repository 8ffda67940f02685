"""`serveoff compare`: what it matches, what it refuses, what it says and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from report import objectives
from report.compare import Outcome, compare_runs, gate
from serveoff import storage
from serveoff.errors import GateError, InputError, UsageError
from serveoff.results import Cell, RunResult


def cells(make: Any, server: str, median_us: int, rounds: int = 5, seed: int = 0, n: int = 600, **more: Any) -> list[Cell]:
    rng = np.random.default_rng([seed, median_us])
    made = []
    for number in range(1, rounds + 1):
        measured = make.measurement((median_us * (1 + 0.01 * rng.standard_normal(n))).astype(np.int64), offered_rps=75.0)
        made.append(make.cell(server, make.manifest("pytorch", "onnx"), "tfs_grpc", make.CONSTANT, measured, number=number, **more))
    return made


def stored(folder: Path, run: RunResult) -> Path:
    storage.write(folder / run.run_id / "run.json", run)
    return folder / run.run_id


def two(make: Any, folder: Path, old: list[Cell], new: list[Cell], rounds: int = 5) -> tuple[Path, Path]:
    return stored(folder, make.run(old, run_id="main", rounds=rounds)), stored(folder, make.run(new, run_id="branch", rounds=rounds))


def compared(make: Any, folder: Path, old: list[Cell], new: list[Cell], *slo: str, rounds: int = 5, **more: Any) -> Outcome:
    a, b = two(make, folder, old, new, rounds)
    return compare_runs(a, b, None, slo, **more)


def test_a_slower_release_ends_the_gate(make: Any, tmp_path: Path) -> None:
    outcome = compared(
        make,
        tmp_path,
        [*cells(make, "triton", 1000), *cells(make, "tfserving", 800)],
        [*cells(make, "triton", 1150, seed=1), *cells(make, "tfserving", 800, seed=1)],
    )
    assert [(line.row.split(",")[0], line.verdict) for line in outcome.lines] == [
        ("digits_cnn.pytorch.onnx.float32.tfserving", "no difference shown"),
        ("digits_cnn.pytorch.onnx.float32.triton", "slower"),
    ]
    p99 = next(each for each in outcome.lines[1].figures if each.primary)
    assert (p99.metric, p99.unit) == ("p99", "us")
    assert p99.low is not None
    assert p99.high is not None
    assert p99.low < 1.15 < p99.high
    with pytest.raises(GateError, match=r"1 of 2 rows shown to be slower, first digits_cnn\.pytorch\.onnx\.float32\.triton"):
        gate(outcome)
    gate(compared(make, tmp_path, cells(make, "triton", 1150), cells(make, "triton", 1000)))


def test_what_was_to_be_judged_and_could_not_be_never_passes_in_silence(make: Any, tmp_path: Path) -> None:
    lost = compared(make, tmp_path, [*cells(make, "triton", 1000), *cells(make, "tfserving", 800)], cells(make, "triton", 1000, seed=1))
    with pytest.raises(InputError, match=r"1 of 2 could not be judged, first .*tfserving.*: the candidate has no such row"):
        gate(lost)
    gate(lost, force=True)
    short = compared(make, tmp_path, cells(make, "triton", 1000, 1, n=2000), cells(make, "triton", 3000, 1, n=2000), rounds=1)
    assert short.lines[0].figures[1].ratio == pytest.approx(3, rel=0.05)
    assert short.lines[0].figures[1].low is None
    with pytest.raises(InputError, match="1 valid round, a verdict needs 3"):
        gate(short)
    void = compared(make, tmp_path, cells(make, "triton", 1000), cells(make, "triton", 1000, reasons=("it died",)))
    with pytest.raises(InputError, match="the candidate's row is INVALID: 0 of 5 rounds are VALID, 3 are needed; it died"):
        gate(void)
    new = compared(make, tmp_path, cells(make, "triton", 1000), [*cells(make, "triton", 1000, seed=1), *cells(make, "tfserving", 800)])
    gate(new)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": {"cpu_model": "Other CPU"}}, "processor Recorded CPU @ 2.50GHz against Other CPU"),
        ({"host": {"logical_cores": 4}}, "2 against 4 cores"),
        ({"host": {"memory_bytes": 2 * 2**30}}, "memory 8.0 GiB against 2.0 GiB"),
        ({"plan": {"warmup_s": 9.0}}, "warm-up 0.50 s to 1.50 s against 9.00 s"),
        ({"plan": {"load_processes": 2}}, "load processes 1 against 2"),
        ({"cell": {"payload_bytes": 999}}, "payload 301 B against 999 B"),
        ({"target": {"threads": 2}}, "1 against 2 threads"),
    ],
)
def test_unlike_runs_are_refused_with_the_reason(make: Any, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    replace = msgspec.structs.replace
    run = make.run(cells(make, "triton", 1000), run_id="branch", rounds=5)
    other = [replace(c, **change.get("cell", {}), target=replace(c.target, **change.get("target", {}))) for c in run.cells]
    changed = replace(
        run, cells=tuple(other), host=replace(run.host, **change.get("host", {})), plan=replace(run.plan, **change.get("plan", {}))
    )
    a = stored(tmp_path, make.run(cells(make, "triton", 1000), run_id="main", rounds=5))
    b = stored(tmp_path, changed)
    with pytest.raises(InputError, match="main and branch were not measured alike: ") as refused:
        compare_runs(a, b, None)
    assert words in refused.value.message
    assert "--force" in refused.value.hint
    assert any(words in each for each in compare_runs(a, b, None, force=True).unlike)


def test_what_is_to_be_compared_may_differ_and_is_said(make: Any, tmp_path: Path) -> None:
    run = make.run(cells(make, "triton", 1000), run_id="branch", rounds=5)
    newer = msgspec.structs.replace(run, host=msgspec.structs.replace(run.host, packages=run.host.packages | {"torch": "2.14.0"}))
    a = stored(tmp_path, make.run(cells(make, "triton", 1000), run_id="main", rounds=5))
    outcome = compare_runs(a, stored(tmp_path, newer), None)
    assert outcome.unlike == ()
    assert "Changed between them: torch 2.13.0 -> 2.14.0." in outcome.notes
    assert outcome.notes[0].startswith("The two runs did not take turns")


def test_two_targets_of_one_run_are_paired(make: Any, tmp_path: Path) -> None:
    run = stored(tmp_path, make.run([*cells(make, "triton", 1000), *cells(make, "tfserving", 1200)], rounds=5))
    outcome = compare_runs(run, None, ("triton", "tfserving"))
    assert (outcome.paired, [line.verdict for line in outcome.lines]) == (True, ["slower"])
    assert [line.verdict for line in compare_runs(run, None, ("tfserving", "triton")).lines] == ["faster"]
    with pytest.raises(UsageError, match=r"several targets of run .* match 'onnx'"):
        compare_runs(run, None, ("onnx", "triton"))
    with pytest.raises(UsageError, match=r"no target of run .* match"):
        compare_runs(run, None, ("triton", "nobody"))
    with pytest.raises(UsageError, match="either two runs or one run with"):
        compare_runs(run, None, None)


def test_json_is_never_compared_with_binary(make: Any, tmp_path: Path) -> None:
    measured = make.measurement(make.lognormal(500, 1600, seed=1), offered_rps=200.0)
    json_row = make.cell("torchserve", make.manifest("pytorch", "onnx"), "torchserve_rest", make.CONSTANT, measured)
    run = stored(tmp_path, make.run([json_row, *cells(make, "triton", 1000)]))
    with pytest.raises(InputError, match="no profile and encoding in common"):
        compare_runs(run, None, ("torchserve", "triton"))


def test_runs_without_a_common_row_are_refused(make: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have no row in common"):
        compared(make, tmp_path, cells(make, "triton", 1000), cells(make, "tfserving", 1000))


@pytest.mark.parametrize(
    ("slo", "kept"),
    [
        ("p99<=2ms", True),
        ("p99<=900us", False),
        ("p50<1s", True),
        ("throughput>=74", True),
        ("throughput>=80/s", False),
        ("p50<=1us", False),
    ],
)
def test_objectives_are_judged_on_the_candidate(make: Any, tmp_path: Path, slo: str, kept: bool) -> None:
    outcome = compared(make, tmp_path, cells(make, "triton", 5000), cells(make, "triton", 1000), slo)
    assert [(each.kept, each.certain) for each in outcome.objectives] == [(kept, True)]
    if kept:
        gate(outcome)
    else:
        with pytest.raises(GateError, match="1 of 1 objectives broken, first"):
            gate(outcome)


def test_an_objective_of_too_few_replies_is_not_kept(make: Any, tmp_path: Path) -> None:
    outcome = compared(make, tmp_path, cells(make, "triton", 1000), cells(make, "triton", 1000, seed=1), "p99.9<=50ms")
    assert (outcome.objectives[0].kept, outcome.objectives[0].reason) == (None, "too few replies for a p99.9 (3000)")
    with pytest.raises(InputError, match="too few replies"):
        gate(outcome)


@pytest.mark.parametrize("text", ["p99", "p98<=5ms", "p99<=5", "p99<=5/s", "throughput>=5ms", "p99<=5.5.5ms", "p99=5ms", ""])
def test_an_objective_that_cannot_be_read_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="the objective"):
        objectives.parse(text)


def test_the_command_prints_a_table_or_json_and_ends_with_five(make: Any, tmp_path: Path, serveoff: Any) -> None:
    two(make, tmp_path / "runs", cells(make, "triton", 1000), cells(make, "triton", 1150, seed=1))
    done = serveoff("compare", "main", "branch", "--slo", "p99<=50ms", workspace=tmp_path)
    assert done.returncode == 5, done.stderr
    assert "slower" in done.stdout
    assert "kept" in done.stdout
    assert "shown to be slower" in done.stderr
    said = json.loads(serveoff("compare", "main", "branch", "--json", workspace=tmp_path).stdout)
    assert said["regressions"] == 1
    assert said["outcome"]["lines"][0]["verdict"] == "slower"
    assert serveoff("compare", "branch", "main", workspace=tmp_path).returncode == 0
    assert serveoff("compare", "main", "nobody", workspace=tmp_path).returncode == 1
    assert serveoff("compare", "main", workspace=tmp_path).returncode == 2
    assert serveoff("compare", "main", "branch", "--metric", "p98", workspace=tmp_path).returncode == 2


def test_an_objective_within_the_interval_is_said_to_be_uncertain(make: Any, tmp_path: Path) -> None:
    new = [c for number in range(1, 6) for c in cells(make, "triton", 1000 + 40 * number, number)[-1:]]
    (each,) = compared(make, tmp_path, cells(make, "triton", 1000), new, "p50<=1100us").objectives
    assert each.certain is False
