"""One origin's share of taking in a model of the user's own, in a process of its own: open it, ask it, keep its weights and its answers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import cast

import numpy as np

from serveoff import artifacts, reference, storage
from serveoff.contract import GIVEN, SIGNATURE, Origin
from serveoff.errors import InputError, ServeoffError
from serveoff.own_models import FILE, OwnModel, Taken, digest, taken_file
from serveoff.plugins import Array, Tensors
from serveoff.registry import load_module

from .. import failure
from .. import weights as weight_files
from . import answers, python_file, tensors, twin
from . import samples as sample_files
from .again import weights_file
from .opened import Opened


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--first", help="the framework that was taken in before: it gets the same samples")
    args = parser.parse_args()
    try:
        take_in(args.checkpoint, cast("Origin", args.origin), args.first)
    except ServeoffError as error:
        failure.tell(error)
        sys.exit(error.exit_code)


def take_in(folder: Path, origin: Origin, first: str | None) -> None:
    source = storage.read(folder / FILE, OwnModel)
    what = Path(source.path).name
    before = reference.load(twin.answers_file(folder, first)) if first else None
    provided, labels = (dict(before.inputs), before.labels) if before else sample_files.given(source)
    opened: Opened = load_module(f"models.own.{origin}").open_model(source, folder)
    known = tensors.inputs(opened.inputs, () if before else source.inputs, provided, what)
    fixed = tensors.fixed_batch(known, what)
    if fixed is not None and origin != GIVEN:
        raise InputError(f"{what} takes batches of {fixed} only", hint="leave the batch open: keras.Input(shape), without batch_size")
    samples, drawn = sample_files.random(known, opened.ids) if provided is None else (sample_files.fit(known, provided), "")
    fed = _whole_batches(samples, fixed, what)
    inputs = tensors.batched(known)
    opened.settle(inputs, {name: value[: fixed or 2] for name, value in fed.items()})
    answers.require_finite(opened.weights(), what)
    asked = answers.ask(opened.run, fed, fixed)
    unlike = ""
    if before:
        asked, unlike = twin.settle(opened, asked, before, folder)
    else:
        asked = _called(asked, source.outputs, what)
        twin.share(opened, folder)
    rows = len(next(iter(fed.values())))
    kept = np.full(rows, -1) if labels is None else labels[:rows].astype(np.int64)
    reference.save(twin.answers_file(folder, origin), reference.Reference(inputs=fed, outputs=asked, labels=kept))
    taken = Taken(
        inputs=inputs,
        outputs=tensors.described(asked),
        fixed_batch=fixed,
        signature=getattr(opened, "signature", SIGNATURE),
        weights_sha256=_keep(opened, folder, origin),
        notes=() if before else _notes(rows, drawn),
        beside=python_file.beside(Path(source.path)) | getattr(opened, "beside", {}),
        unlike=unlike,
    )
    storage.write(folder / taken_file(origin), taken)


def _whole_batches(samples: Tensors, fixed: int | None, what: str) -> dict[str, Array]:
    """As many rows as fill whole batches, where the model takes no others."""
    rows = len(next(iter(samples.values())))
    if fixed and rows < fixed:
        raise InputError(f"{what} takes batches of {fixed} only, and there are {rows} samples", hint="give more samples")
    stop = rows - rows % fixed if fixed else rows
    return {name: value[:stop] for name, value in samples.items()}


def _called(asked: Tensors, names: tuple[str, ...], what: str) -> dict[str, Array]:
    """The outputs by the names that the user gave them, where he did."""
    if names and len(names) != len(asked):
        raise InputError(f"{what} has {len(asked)} outputs, {len(names)} are named", hint="--output once for each, in their order")
    return dict(zip(names or asked, asked.values(), strict=True))


def _keep(opened: Opened, folder: Path, origin: Origin) -> str:
    """Keep the weights as they are now; a file that is served as given has its own. Returns their sha256."""
    if origin == GIVEN:
        return digest(opened.native())
    path = weights_file(folder, origin)
    weight_files.save(path, opened.weights())
    return artifacts.digest(path)


def _notes(rows: int, drawn: str) -> tuple[str, ...]:
    if drawn:
        return (f"its {rows} samples are {drawn}: they may not be what the model meets; --samples file.npz gives real ones",)
    if rows < sample_files.ENOUGH:
        return (f"it has {rows} samples only: with fewer than {sample_files.ENOUGH} different requests, a cache may answer some",)
    return ()


if __name__ == "__main__":
    main()
