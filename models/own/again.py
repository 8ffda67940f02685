"""A model of the user's own that was taken in, made again for an export: the same model with the weights that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serveoff import own_models, reference, storage
from serveoff.contract import GIVEN, Origin
from serveoff.errors import InputError
from serveoff.plugins import ModelSpec
from serveoff.registry import load_module

from .. import weights as weight_files
from .opened import Opened


def weights_file(folder: Path, origin: str) -> Path:
    return folder / f"weights-{origin}.safetensors"


def spec(folder: Path, origin: Origin) -> ModelSpec:
    """What is known of the model without opening it."""
    taken = own_models.taken(folder, origin)
    samples = reference.load(folder / f"reference-{origin}" / "samples.npz")
    path = storage.read(folder / own_models.FILE, own_models.OwnModel).path
    return ModelSpec(summary=path, inputs=taken.inputs, outputs=taken.outputs, builds={}, edge_inputs=dict, samples=lambda: samples.inputs)


def build(folder: Path, origin: Origin) -> Any:
    """What a format exports. Raises InputError when the model file does not make the model that was taken in any more."""
    if origin == GIVEN:
        return folder / GIVEN
    source, taken = storage.read(folder / own_models.FILE, own_models.OwnModel), own_models.taken(folder, origin)
    samples = reference.load(folder / f"reference-{origin}" / "samples.npz")
    opened: Opened = load_module(f"models.own.{origin}").open_model(source, folder)
    opened.settle(taken.inputs, samples.slice(0, 2)[0])
    try:
        opened.restore(weight_files.load(weights_file(folder, origin)))
    except (InputError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{source.path} does not make the model that was taken in: {str(error).splitlines()[0]}",
            hint=f"take it in again: `serveoff train --model {source.name}`",
        ) from error
    return opened.native()
