"""`serveoff train --throughput`: training steps on synthetic data, both frameworks in turns, one at work at a time."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from serveoff import host, storage
from serveoff.console import Bar, Console
from serveoff.contract import Framework, Skip
from serveoff.errors import MissingToolError
from serveoff.registry import MODELS
from serveoff.training import StepTimes, ThroughputResult, Unit
from serveoff.workspace import Workspace

from .neighbours import MOST_CORES, Neighbours
from .step_process import LostError, StepProcess
from .stepping import Prepare, Prepared
from .steps import Options, unit_of
from .train import DISTRIBUTIONS

MODELS_MEASURED = ("alexnet@64", "vgg19@64", "resnet50@64", "mobilenet_v2@64", "gnmt_v2@128", "ncf@16")
"""The six architectures at sizes that two cores train in minutes; `--model resnet50@224` is the whole one."""
BATCH: dict[Unit, int] = {"images": 16, "tokens": 16, "samples": 256}
"""Rows of a batch, where nobody says."""
WARMUP_STEPS = 3
"""After the first one, which compiles, and tells the first loss."""
_ROUND_S = 0.5
"""A framework's turn takes about this long, and at least two steps."""
_MOST_STEPS = 50
_ATTEMPTS = 3
"""A round in which others were busy is repeated twice, and then left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured. `batch` None: what suits the model. `timeout_s` holds for each turn, and for building and compiling a model.

    `busy`: count rounds whatever else the machine was doing.
    """

    models: tuple[str, ...]
    batch: int | None
    rounds: int
    threads: int
    seed: int
    timeout_s: float
    options: Options
    busy: bool = False


def measure(plan: Plan, workspace: Workspace, console: Console) -> ThroughputResult:
    """Measure each model in both frameworks; the result is written after each. One that cannot be measured is a skip with its reason.

    Raises MissingToolError when no framework is installed.
    """
    frameworks = [f for f, distribution in DISTRIBUTIONS.items() if host.installed(distribution)]
    if not frameworks:
        raise MissingToolError("neither PyTorch nor TensorFlow is installed", hint="pip install tensorflow, or torch==2.13.0")
    started, created_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    rows: list[StepTimes] = []
    skips: list[Skip] = []
    order = random.Random(plan.seed)  # noqa: S311 - an order, not a secret

    def result() -> ThroughputResult:
        return ThroughputResult(
            created_at=created_at,
            seconds=time.monotonic() - started,
            host=host.facts(),
            threads=plan.threads,
            seed=plan.seed,
            rounds=plan.rounds,
            warmup_steps=1 + WARMUP_STEPS,
            rows=tuple(rows),
            skips=tuple(skips),
        )

    with ExitStack() as stack, console.bar("training throughput", len(plan.models) * plan.rounds) as bar:
        children = {
            f: stack.enter_context(StepProcess(f, plan.options.device, plan.threads, plan.timeout_s, workspace)) for f in frameworks
        }
        for number, model in enumerate(plan.models):
            try:
                measured = _measure_model(model, plan, children, order, _Progress(bar, number * plan.rounds))
                rows += measured
                if not measured:
                    reason = f"others used more than {MOST_CORES:g} cores in every round, so the times are not the frameworks' alone"
                    skips.append(Skip(stage="train --throughput", what=model, reason=f"{reason}: quieten the machine, or say --busy"))
            except LostError as lost:
                skips.append(Skip(stage="train --throughput", what=f"{model} in {lost.framework}", reason=lost.message))
                console.say(f"{model} in {lost.framework} is skipped: {lost.message}")
            storage.write(workspace.throughput, so_far := result())
    return so_far


@dataclass(frozen=True, slots=True)
class _Progress:
    bar: Bar
    before: int

    def advance(self, done: int, note: str) -> None:
        self.bar.advance_to(self.before + done, note)


def _measure_model(
    model: str, plan: Plan, children: dict[Framework, StepProcess], order: random.Random, progress: _Progress
) -> list[StepTimes]:
    spec = MODELS.load(model)
    form = spec.trained_as() if spec.trained_as else spec
    unit, per_row = unit_of(form)
    batch = plan.batch or BATCH[unit]
    wanted = [f for f in spec.builds if f in children]
    times: dict[Framework, list[tuple[float, ...]]] = {f: [] for f in wanted}
    void = 0
    prepared: dict[Framework, Prepared] = {}
    steps: dict[Framework, int] = {}
    with _initial_weights() as weights:
        for framework in wanted:
            prepared[framework] = children[framework].ask(Prepare(model, batch, plan.seed, weights, plan.options))
    for framework in wanted:
        warm: list[float] = children[framework].ask(WARMUP_STEPS)
        steps[framework] = max(2, min(_MOST_STEPS, round(_ROUND_S / warm[-1])))
    for number in range(1, plan.rounds + 1):
        for _ in range(_ATTEMPTS):
            took, others = _round(order.sample(wanted, len(wanted)), children, steps)
            if plan.busy or others <= MOST_CORES:
                for framework in wanted:
                    times[framework].append(took[framework])
                break
            void += 1
        speeds = ", ".join(f"{f} {batch * per_row * len(took[f]) / sum(took[f]):,.0f}/s" for f in wanted)
        progress.advance(number, f"{model}: {speeds}" + (f"; {void} rounds void, others were busy" if void else ""))
    if not all(times.values()):
        return []
    return [
        StepTimes(
            model=model,
            framework=f,
            mode=prepared[f].mode,
            device=prepared[f].device,
            unit=unit,
            batch=batch,
            units_per_step=batch * per_row,
            parameters=prepared[f].parameters,
            first_loss=prepared[f].first_loss,
            step_s=tuple(times[f]),
            void_rounds=void,
        )
        for f in wanted
    ]


def _round(
    wanted: list[Framework], children: dict[Framework, StepProcess], steps: dict[Framework, int]
) -> tuple[dict[Framework, tuple[float, ...]], float]:
    """The steps of each framework's turn, in seconds, and what others used of the CPU meanwhile, in cores."""
    neighbours = Neighbours([pid for child in children.values() for pid in child.pids])
    took: dict[Framework, tuple[float, ...]] = {}
    for framework in wanted:
        found: list[float] = children[framework].ask(1 + steps[framework])
        took[framework] = tuple(found[1:])  # the first one finds the caches full of the other framework's data
    return took, neighbours.cores()


@contextmanager
def _initial_weights() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="serveoff-") as folder:
        yield Path(folder) / "initial.safetensors"
