"""Training throughput: each model in both frameworks, with intervals and verdicts by the same functions as the load test's.

A turn of a framework is a round, and a training step is a block of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from serveoff.contract import Framework
from serveoff.training import StepTimes, ThroughputResult

from . import wording
from .bootstrap import THROUGHPUT, Range, interval
from .percentiles import Distribution, merge
from .rounds import Block
from .table import Column, Line, Table, Value, columns, line, number
from .verdicts import Comparison, Word, compare, judge


@dataclass(frozen=True)
class Turn:
    """One turn of one framework."""

    number: int
    step_s: tuple[float, ...]
    units_per_step: int
    capacity_rps: None = None
    by_turns: bool = False

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        starts = [sum(self.step_s[:place]) for place in range(len(self.step_s))]
        return tuple(Block(start, took, self.units_per_step, 0, _one(took)) for start, took in zip(starts, self.step_s, strict=True))

    @property
    def latency(self) -> Distribution:
        return merge(block.latency for block in self.blocks)


def _one(took_s: float) -> Distribution:
    import numpy as np

    return Distribution(np.array([round(1e6 * took_s)], np.int64), np.ones(1, np.int64))


def turns(of: StepTimes) -> list[Turn]:
    return [Turn(place, steps, of.units_per_step) for place, steps in enumerate(of.step_s, 1)]


def per_second(of: StepTimes) -> float:
    """Over all steps of all rounds."""
    return of.units_per_step * sum(map(len, of.step_s)) / sum(map(sum, of.step_s))


def speed_table(result: ThroughputResult) -> Table:
    """One line for each model: what each framework does in a second, and PyTorch against Keras."""
    models: dict[str, dict[Framework, StepTimes]] = {}
    for row in result.rows:
        models.setdefault(row.model, {})[row.framework] = row
    compared = [
        compare(turns(of["keras"]), turns(of["pytorch"]), THROUGHPUT, paired=True) if len(of) == 2 else None for of in models.values()
    ]
    words = iter(judge([c for c in compared if c is not None]))
    return Table(
        title="Training throughput",
        columns=(
            *columns(("model", "counted", "batch"), numeric=("batch",)),
            *(Column(title, numeric=True) for title in ("pytorch/s", "95%", "keras/s", "95%", "pytorch to keras", "95%")),
            *columns(("verdict", "first loss", "run as", "parameters"), numeric=("parameters",)),
        ),
        lines=(
            *(_line(model, of, c, next(words) if c else None) for (model, of), c in zip(models.items(), compared, strict=True)),
            *(line(wording.clean(s.what), *[""] * 8, f"skipped: {wording.clean(s.reason)}", *[""] * 3, dimmed=True) for s in result.skips),
        ),
        intro=_intro(result),
        empty="Nothing was measured.",
    )


def _intro(result: ThroughputResult) -> str:
    cores = f"{wording.count(result.threads)} {'core' if result.threads == 1 else 'cores'}"
    return (
        f"Forward, backward and Adam on one synthetic batch, in float32, on {_device(result)}. Each framework in a process of its own, on "
        f"the same {cores}, in turns: {result.rounds} rounds in shuffled order, the other one idle. {result.warmup_steps} steps before, "
        f"and the first of each turn, are not counted{_void(result)}. The first loss is from before the first step, from the same weights "
        "on the same batch; only dropout may part the two."
    )


def _void(result: ThroughputResult) -> str:
    void = sum({row.model: row.void_rounds for row in result.rows}.values())
    return f", nor are {wording.count(void)} rounds in which others were at work on this machine" if void else ""


def _device(result: ThroughputResult) -> str:
    found = list(dict.fromkeys("the CPU" if row.device == "cpu" else wording.clean(row.device) for row in result.rows))
    return wording.listed(found) if found else "no device"


def _line(model: str, of: dict[Framework, StepTimes], c: Comparison | None, word: Word | None) -> Line:
    first = next(iter(of.values()))
    values: list[str | Value] = [wording.clean(model), first.unit, number(wording.count(first.batch), first.batch)]
    sides: tuple[Framework, ...] = ("pytorch", "keras")
    for framework in sides:
        row = of.get(framework)
        speed = per_second(row) if row else None
        found = interval(turns(row), THROUGHPUT) if row else None
        values += [number(wording.rate(speed), speed), _between(found)]
    ratio = c.ratio if c else None
    values += [
        number(wording.times(c.value), c.value) if c and c.value else number(wording.NOTHING, None),
        _ratio(ratio.interval if ratio else None),
        _verdict(c, word),
        " and ".join(f"{of[f].first_loss:.4f}" for f in sides if f in of),
        "; ".join(f"{f}: {wording.clean(of[f].mode)}" for f in sides if f in of),
        number(wording.count(first.parameters), first.parameters),
    ]
    return line(*values)


def _verdict(c: Comparison | None, word: Word | None) -> str:
    if c is None:
        return "one framework only"
    if word == "not judged":
        return f"not judged ({c.lacking})"
    return {"faster": "pytorch is faster", "slower": "keras is faster"}.get(word or "", "no difference shown")


def _between(found: Range | None) -> Value:
    return number(wording.between(found.low, found.high, wording.rate), found.low) if found else number(wording.NOTHING, None)


def _ratio(found: Range | None) -> Value:
    return number(wording.between(found.low, found.high, "{:.2f}".format), found.low) if found else number(wording.NOTHING, None)
