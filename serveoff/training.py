"""The files of a training throughput measurement. Strict, as `serveoff.contract` is."""

from __future__ import annotations

from typing import Literal

from serveoff.contract import Framework, HostFacts, Skip, Struct

Unit = Literal["images", "tokens", "samples"]
Device = Literal["cpu", "gpu"]


class StepTimes(Struct, frozen=True, kw_only=True):
    """One framework's training steps of one model: forward, backward and Adam on one batch, until the loss is on the host."""

    model: str
    framework: Framework
    mode: str
    """How the framework ran the step: eager, or compiled by what."""
    device: str
    unit: Unit
    batch: int
    units_per_step: int
    """Images, tokens or samples of a batch."""
    parameters: int
    first_loss: float
    """Before the first step, from the initial weights that both frameworks share. Dropout, if there is any, is not shared."""
    step_s: tuple[tuple[float, ...], ...]
    """The steps of each round. Round for round, all frameworks of a model were measured in turns."""


class ThroughputResult(Struct, frozen=True, kw_only=True):
    """Training throughput on synthetic data."""

    schema: int = 1
    created_at: str
    seconds: float
    host: HostFacts
    threads: int
    seed: int
    rounds: int
    warmup_steps: int
    rows: tuple[StepTimes, ...]
    skips: tuple[Skip, ...]
