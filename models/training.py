"""One framework's training of one model from one seed. Each epoch's end is kept, so that an interrupted training goes on from there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from serveoff import artifacts, host, parity, storage
from serveoff.contract import Framework, Struct
from serveoff.errors import InputError
from serveoff.training import TrainingRecord

from . import weights as weight_files
from .batches import BATCH_SIZE, epochs
from .events import Events

if TYPE_CHECKING:
    from serveoff.plugins import Dataset, ModelSpec

_PROGRESS = "progress.json"


class Progress(Struct, frozen=True, kw_only=True):
    """What an unfinished training has behind it. `state` is the file of the framework's own state after that many epochs."""

    schema: int = 1
    state: str = ""
    initial_sha256: str
    validation_curve: tuple[float, ...] = ()
    loss_curve: tuple[float, ...] = ()
    epoch_s: tuple[float, ...] = ()
    seconds: float = 0.0
    resumed_after: tuple[int, ...] = ()

    @property
    def epochs(self) -> int:
        return len(self.validation_curve)


class Training:
    """What every seed of one model in one framework shares. `trainers` is the framework's module of `models.trainers`.

    Event files for TensorBoard go to `curves`, everything else to `checkpoint`.
    """

    def __init__(self, name: str, framework: Framework, spec: ModelSpec, trainers: Any, checkpoint: Path, curves: Path) -> None:
        self._name, self._framework, self._spec, self._trainers = name, framework, spec, trainers
        self._checkpoint, self._curves = checkpoint, curves
        assert spec.dataset is not None, "a model without data is not trained"
        self._data: Dataset = spec.dataset()

    def run(self, seed: int, count: int, initial_from: Framework, on_epoch: Callable[[Progress], None]) -> TrainingRecord:
        """Train `count` epochs, from wherever an interruption left it, and write the record and the weights."""
        path = self._checkpoint / record_name(self._framework, seed)
        if path.exists():  # the interruption came later
            return storage.read(path, TrainingRecord)
        start = initial_weights(self._checkpoint, seed)
        trainer = self._trainers.Trainer(self._spec, weight_files.load(start), seed)
        states = self._checkpoint / f"state-{self._framework}-{seed}"
        progress = self._pick_up(states, trainer) or Progress(initial_sha256=artifacts.digest(start))
        with Events(self._curves / f"{self._framework}-{seed}", progress.epochs + 1) as events:
            for number, order in enumerate(epochs(len(self._data.train_labels), count, seed), 1):
                if number > progress.epochs:
                    progress = self._epoch(trainer, order, progress)
                    self._keep(states, trainer, progress)
                    events.add(number, {"accuracy/validation": progress.validation_curve[-1], "loss/training": progress.loss_curve[-1]})
                    on_epoch(progress)
        record = self._record(trainer, seed, initial_from, progress)
        storage.write(path, record)
        shutil.rmtree(states)
        return record

    def _epoch(self, trainer: Any, order: Any, before: Progress) -> Progress:
        started = time.monotonic()
        loss = trainer.epoch(self._data, order)
        trained_s = time.monotonic() - started
        reached = parity.accuracy(self._data.eval_labels, trainer.scores(self._data.eval_inputs))
        return msgspec.structs.replace(
            before,
            state=self._trainers.STATE.format(before.epochs + 1),
            validation_curve=(*before.validation_curve, reached),
            loss_curve=(*before.loss_curve, loss),
            epoch_s=(*before.epoch_s, trained_s),
            seconds=before.seconds + time.monotonic() - started,
        )

    def _keep(self, states: Path, trainer: Any, progress: Progress) -> None:
        """The state first, then what names it: whenever we are killed, one whole epoch is there."""
        states.mkdir(parents=True, exist_ok=True)
        trainer.save(states / progress.state)
        storage.write(states / _PROGRESS, progress)
        for old in states.iterdir():
            if old.name not in (progress.state, _PROGRESS):
                old.unlink()

    def _pick_up(self, states: Path, trainer: Any) -> Progress | None:
        """What an interrupted training left, loaded into `trainer`; None when there is nothing."""
        if not (states / _PROGRESS).exists():
            return None
        progress = storage.read(states / _PROGRESS, Progress)
        try:
            trainer.load(states / progress.state)
        except Exception as error:
            raise InputError(f"{states / progress.state} cannot be read: {error}", hint="begin anew: `serveoff train --fresh`") from error
        return msgspec.structs.replace(progress, resumed_after=(*progress.resumed_after, progress.epochs))

    def _record(self, trainer: Any, seed: int, initial_from: Framework, progress: Progress) -> TrainingRecord:
        weights = trainer.weights()
        path = self._checkpoint / f"weights-{self._framework}-{seed}.safetensors"
        weight_files.save(path, weights)
        return TrainingRecord(
            model=self._name,
            framework=self._framework,
            epochs=progress.epochs,
            seed=seed,
            seconds=progress.seconds,
            parameters=sum(int(value.size) for value in weights.values()),
            metric="accuracy",
            validation_curve=progress.validation_curve,
            loss_curve=progress.loss_curve,
            epoch_s=progress.epoch_s,
            rows=len(self._data.train_labels),
            batch_size=BATCH_SIZE,
            initial_from=initial_from,
            initial_sha256=progress.initial_sha256,
            resumed_after=progress.resumed_after,
            weights_sha256=artifacts.digest(path),
            host=host.facts(),
        )


def initial_weights(checkpoint: Path, seed: int) -> Path:
    """The file of the weights that every framework starts from."""
    return checkpoint / f"initial-{seed}.safetensors"


def record_name(framework: str, seed: int) -> str:
    return f"training-{framework}-{seed}.json"
