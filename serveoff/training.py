"""The files of training: what was trained, the proof that twins are equal, and training throughput. Strict, as `serveoff.contract` is."""

from __future__ import annotations

import statistics
from typing import Literal

from serveoff.contract import Framework, HostFacts, Origin, Parity, Skip, Struct

Unit = Literal["images", "tokens", "samples"]
Device = Literal["cpu", "gpu"]


class TrainingRecord(Struct, frozen=True, kw_only=True):
    """One framework's training of one model from one seed. The curves have a value for each epoch."""

    schema: int = 1
    model: str
    framework: Framework
    epochs: int
    seed: int
    seconds: float
    parameters: int
    metric: str
    validation_curve: tuple[float, ...]
    weights_sha256: str
    host: HostFacts
    loss_curve: tuple[float, ...] = ()
    """The mean training loss of a row."""
    epoch_s: tuple[float, ...] = ()
    """The training alone, without the validation."""
    rows: int = 0
    """Training rows of an epoch."""
    batch_size: int = 0
    initial_from: Framework | None = None
    """Whose initialiser made the weights that every framework started from; None: each framework's own."""
    initial_sha256: str = ""
    resumed_after: tuple[int, ...] = ()
    """The epochs after which it was interrupted."""

    @property
    def rows_per_s(self) -> float | None:
        """Of the median epoch: the first one also compiles, and so does the one after an interruption."""
        return self.rows / statistics.median(self.epoch_s) if self.epoch_s else None


class TwinProof(Struct, frozen=True, kw_only=True):
    """The canonical weights of a model, and the proof that both frameworks compute the same with them."""

    schema: int = 1
    model: str
    weights_from: Origin
    weights_sha256: str
    parity: Parity | None
    """None when the model is built in one framework only, and when nothing could be proved."""
    trained: bool = True
    """False for weights that were drawn from the seed, or given."""
    weights_given: str = ""
    """The file that the weights came in, where they were neither trained nor drawn here."""
    unproved: str = ""
    """Why nothing was proved, of a model of the user's own."""

    @property
    def drawn(self) -> bool:
        """Whether the weights are random ones, drawn from a seed here."""
        return not self.trained and not self.weights_given


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
    void_rounds: int = 0
    """Rounds that do not count, because others were at work on the machine."""


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
