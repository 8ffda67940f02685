"""`serveoff train`: train each framework in a child of its own, then prove that the twins are equal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from serveoff import artifacts, own_models, parity, process, reference, storage
from serveoff.console import Console
from serveoff.contract import Framework, ParityCheck, Struct
from serveoff.contract import Parity as ParityVerdict
from serveoff.errors import MissingToolError, ServeoffError
from serveoff.host import installed
from serveoff.registry import MODELS
from serveoff.selection import Selection
from serveoff.training import TrainingRecord, TwinProof
from serveoff.workspace import Workspace

from . import failure, pretrained
from .batches import BATCH_SIZE, LEARNING_RATE

DISTRIBUTIONS: dict[Framework, str] = {"pytorch": "torch", "keras": "tensorflow"}
EPOCHS = 20
SEED = 0
TIMEOUT_S = 1800.0
"""For each seed."""
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
PLAN, PROOF = "plan.json", "twin.json"


class TrainingPlan(Struct, frozen=True, kw_only=True):
    """What a training was asked for: an interrupted one goes on when it is asked for the same again."""

    schema: int = 1
    frameworks: tuple[Framework, ...]
    epochs: int
    seeds: tuple[int, ...]
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    packages: dict[str, str]
    weights_sha256: str = ""
    """Of the file that the weights are given in; nothing is trained then."""


def train(
    selection: Selection,
    workspace: Workspace,
    console: Console,
    epochs: int = EPOCHS,
    seeds: Sequence[int] = (SEED,),
    *,
    fresh: bool = False,
    weights: str = "",
) -> tuple[list[TrainingRecord], list[TwinProof]]:
    """Train every selected model from each seed; the twins' proof says whether they are equal. `fresh`: go on with nothing.

    `weights`: a file of them, or `imagenet`, for the one model that is selected; then nothing is trained.
    """
    records: list[TrainingRecord] = []
    proofs: list[TwinProof] = []
    for name in selection.models_to_make():
        if own_models.find(workspace, name):
            continue  # `models.intake`
        training = _Training(name, selection, workspace, console, pretrained.find(name, weights) if weights else None)
        proofs.append(training.run(epochs, tuple(seeds), fresh=fresh))
        records += read_records(workspace.checkpoint(name))
    return records, proofs


class _Training:
    """The training of one model. The first wanted framework makes the initial weights of all, and its result becomes the twins'."""

    def __init__(self, name: str, selection: Selection, workspace: Workspace, console: Console, weights: Path | None) -> None:
        self._name, self._workspace, self._console = name, workspace, console
        self._folder, self._curves = workspace.checkpoint(name), workspace.training / "tensorboard" / name
        spec = MODELS.load(name)
        self._weights = weights
        self._trains = spec.dataset is not None and weights is None
        self._frameworks = [f for f in spec.builds if installed(DISTRIBUTIONS[f])]
        self._wanted = [f for f in self._frameworks if selection.wants_framework(f)]
        if not self._wanted:
            raise MissingToolError(
                f"none of the frameworks of {name} is installed and selected", hint="pip install tensorflow, or torch==2.13.0"
            )
        reader = pretrained.READS[weights.suffix] if weights else None
        if reader and reader not in self._wanted:
            raise MissingToolError(f"{weights} is read by {reader}, which is not installed and selected", hint="name a .safetensors file")
        self._wanted.sort(key=lambda framework: framework != reader)

    def run(self, epochs: int, seeds: tuple[int, ...], *, fresh: bool) -> TwinProof:
        plan = TrainingPlan(
            frameworks=tuple(self._wanted),
            epochs=epochs,
            seeds=seeds,
            weights_sha256=artifacts.digest(self._weights) if self._weights and self._weights.is_file() else "",
            packages={d: installed(d) or "" for d in map(DISTRIBUTIONS.__getitem__, self._wanted)},
        )
        self._begin(plan, fresh=fresh)
        for framework in [*self._wanted, *(f for f in self._frameworks if f not in self._wanted)]:
            shutil.rmtree(self._folder / f"reference-{framework}", ignore_errors=True)
            self._work(framework, plan)
        proof = TwinProof(
            model=self._name,
            weights_from=self._wanted[0],
            weights_sha256=artifacts.digest(self._folder / "weights.safetensors"),
            parity=prove_twins(self._folder, self._frameworks),
            trained=self._trains,
            weights_given=str(self._weights or ""),
        )
        storage.write(self._folder / PROOF, proof)
        return proof

    def _begin(self, plan: TrainingPlan, *, fresh: bool) -> None:
        """Keep what an interrupted training of the same plan left, and nothing else. The proof is written last: it says finished."""
        known = self._folder / PLAN
        interrupted = known.exists() and not (self._folder / PROOF).exists()
        if interrupted and not fresh and storage.read(known, TrainingPlan) == plan:
            self._console.say(f"{self._name}: going on where an interrupted training ended")
            return
        (self._folder / PROOF).unlink(missing_ok=True)
        for pattern in ("training-*.json", "initial-*.safetensors", "weights-*.safetensors"):
            for old in self._folder.glob(pattern):
                old.unlink()
        for folder in (*self._folder.glob("state-*"), self._curves):
            shutil.rmtree(folder, ignore_errors=True)
        storage.write(known, plan)

    def _work(self, framework: Framework, plan: TrainingPlan) -> None:
        name, folder = self._name, self._folder
        epochs = plan.epochs if framework in self._wanted and self._trains else 0
        arguments = ["--model", name, "--framework", framework, "--first", self._wanted[0], "--checkpoint", str(folder)]
        arguments += ["--curves", str(self._curves), "--epochs", str(epochs), "--seeds", *map(str, plan.seeds)]
        failures: list[failure.Failure] = []
        arguments += ["--weights", str(self._weights)] if self._weights else []
        with self._console.bar(f"{name}: {framework}", epochs * len(plan.seeds)) as bar:

            def on_line(line: str) -> None:
                failures.extend(filter(None, [failure.told(line)]))
                if line.startswith("@epoch "):
                    _, number, accuracy = line.split()
                    bar.advance_to(int(number), f"validation accuracy {float(accuracy):.1%}")

            timeout_s = TIMEOUT_S * len(plan.seeds)
            result = process.run_child(
                process.python("models.worker", *arguments),
                env=process.environment(self._workspace.root, ENVIRONMENT),
                log=folder / f"train-{framework}.log",
                timeout_s=timeout_s,
                on_line=on_line,
            )
        if failures:
            raise failure.error(failures[-1], f"{folder}/train-{framework}.log")
        if not result.ok:
            why = f"took longer than {timeout_s:.0f} s" if result.timed_out else f"ended with exit code {result.exit_code}"
            raise ServeoffError(
                f"training {name} in {framework} {why}:\n{result.tail}", hint=f"the whole log is {folder}/train-{framework}.log"
            )


def prove_twins(folder: Path, frameworks: Iterable[Framework]) -> ParityVerdict | None:
    """Compare the answers of the frameworks to the samples and to the edge inputs; None when there is only one framework."""
    folders = [folder / f"reference-{f}" for f in frameworks]
    if len(folders) < 2:
        return None
    checks: list[ParityCheck] = []
    for path in sorted(folders[0].glob("*.npz")):
        first, second = reference.load(path), reference.load(folders[1] / path.name)
        checks += parity.compare(path.stem, first.outputs, second.outputs, parity.TWINS)
    return ParityVerdict(tolerance=parity.TWINS, checks=tuple(checks))


def read_records(folder: Path) -> list[TrainingRecord]:
    return [storage.read(path, TrainingRecord) for path in sorted(folder.glob("training-*.json"))]
