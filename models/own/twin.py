"""Both frameworks' models of one model file: the same weights in both, where their layers are named alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from serveoff import parity
from serveoff.errors import InputError

from .. import weights as weight_files
from . import answers

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors
    from serveoff.reference import Reference

    from .opened import Opened

_SHARED = "weights-shared.safetensors"
"""The first framework's weights, by the names that both frameworks know."""


def answers_file(folder: Path, origin: str) -> Path:
    return folder / f"reference-{origin}" / "samples.npz"


def share(opened: Opened, folder: Path) -> None:
    """Keep the first framework's weights for the second. Without a file they have no shared names."""
    (folder / _SHARED).unlink(missing_ok=True)
    try:
        weight_files.save(folder / _SHARED, opened.shared())
    except InputError:
        return


def settle(opened: Opened, asked: Tensors, before: Reference, folder: Path) -> tuple[dict[str, Array], str]:
    """The second framework's answers, by the first one's names, and why the two are not equal (then each keeps its own weights)."""
    if len(asked) != len(before.outputs):
        return dict(asked), f"they have {len(before.outputs)} and {len(asked)} outputs"
    own = dict(zip(before.outputs, asked.values(), strict=True))
    if not _difference(before.outputs, own):
        return own, ""
    kept = opened.weights()
    try:
        if not (folder / _SHARED).exists():
            raise InputError("some weights have no names that both frameworks know")
        opened.adopt(weight_files.load(folder / _SHARED))
        adopted = dict(zip(before.outputs, answers.ask(opened.run, before.inputs, None).values(), strict=True))
        why = _difference(before.outputs, adopted)
        if not why:
            return adopted, ""
        why = f"with the same weights the answers differ: {why}"
    except InputError as error:
        why = f"their layers are not named alike: {error.message}"
    opened.restore(kept)
    return own, why


def _difference(wanted: Tensors, answer: Tensors) -> str:
    return next((check.reason for check in parity.compare("samples", wanted, answer, parity.TWINS) if not check.passed), "")
