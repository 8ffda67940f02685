"""`serveoff train`: train each framework in a child of its own, then prove that the twins are equal."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from serveoff import artifacts, parity, process, reference, storage
from serveoff.console import Console
from serveoff.contract import Framework, ParityCheck, TrainingRecord, TwinProof
from serveoff.contract import Parity as ParityVerdict
from serveoff.errors import MissingToolError, ServeoffError
from serveoff.host import installed
from serveoff.registry import MODELS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

DISTRIBUTIONS: dict[Framework, str] = {"pytorch": "torch", "keras": "tensorflow"}
EPOCHS = 20
SEED = 0
TIMEOUT_S = 1800.0


def train(
    selection: Selection, workspace: Workspace, console: Console, epochs: int = EPOCHS, seed: int = SEED
) -> tuple[list[TrainingRecord], list[TwinProof]]:
    """Train every selected model; the twins' proof says whether they are equal."""
    records: list[TrainingRecord] = []
    proofs: list[TwinProof] = []
    for name in filter(selection.wants_model, MODELS.names):
        proofs.append(train_model(name, selection, workspace, console, epochs, seed))
        records += read_records(workspace.checkpoint(name))
    return records, proofs


def train_model(name: str, selection: Selection, workspace: Workspace, console: Console, epochs: int, seed: int) -> TwinProof:
    """Train one model in the wanted frameworks; the first one's weights become the twins'."""
    spec, folder = MODELS.load(name), workspace.checkpoint(name)
    frameworks = [f for f in spec.builds if installed(DISTRIBUTIONS[f])]
    wanted = [f for f in frameworks if selection.wants_framework(f)]
    if not wanted:
        raise MissingToolError(
            f"none of the frameworks of {name} is installed and selected", hint="pip install tensorflow, or torch==2.13.0"
        )
    (folder / "twin.json").unlink(missing_ok=True)  # written last: a checkpoint without it is not finished
    for old in folder.glob("training-*.json"):
        old.unlink()
    for framework in [*wanted, *(f for f in frameworks if f not in wanted)]:
        shutil.rmtree(folder / f"reference-{framework}", ignore_errors=True)
        _run_worker(name, framework, workspace, console, epochs if framework in wanted else 0, seed, canonical=framework == wanted[0])
    proof = TwinProof(
        model=name,
        weights_from=wanted[0],
        weights_sha256=artifacts.digest(folder / "weights.safetensors"),
        parity=prove_twins(folder, frameworks),
    )
    storage.write(folder / "twin.json", proof)
    return proof


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


def _run_worker(
    name: str, framework: Framework, workspace: Workspace, console: Console, epochs: int, seed: int, *, canonical: bool
) -> None:
    folder = workspace.checkpoint(name)
    arguments = ["--model", name, "--framework", framework, "--checkpoint", str(folder), "--epochs", str(epochs), "--seed", str(seed)]
    with console.bar(f"{name}: {framework}", epochs) as bar:

        def on_line(line: str) -> None:
            if line.startswith("@epoch "):
                _, number, accuracy = line.split()
                bar.advance_to(int(number), f"validation accuracy {float(accuracy):.1%}")

        result = process.run_child(
            process.python("models.worker", *arguments, *(["--canonical"] if canonical else [])),
            env=process.environment(workspace.root, {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}),
            log=folder / f"train-{framework}.log",
            timeout_s=TIMEOUT_S,
            on_line=on_line,
        )
    if not result.ok:
        why = f"took longer than {TIMEOUT_S:.0f} s" if result.timed_out else f"ended with exit code {result.exit_code}"
        raise ServeoffError(
            f"training {name} in {framework} {why}:\n{result.tail}", hint=f"the whole log is {folder}/train-{framework}.log"
        )
