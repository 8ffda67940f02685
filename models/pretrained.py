"""Weights that were trained elsewhere, for a model of the zoo: a local file, or ImageNet's as torchvision publishes them.

The zoo's image models are torchvision's networks with its names, so that its checkpoints fit as they are. Keras applications' are other
networks (docs/decisions/0010), and its files are refused by their layers' names.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.contract import Framework
from serveoff.errors import InputError, MissingToolError, UsageError
from serveoff.host import installed
from serveoff.registry import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from serveoff.plugins import Array, ModelSpec

IMAGENET = "imagenet"
READS: dict[str, Framework | None] = {".safetensors": None, ".pt": "pytorch", ".pth": "pytorch", ".h5": "keras", ".hdf5": "keras"}
"""Suffix -> the framework that reads such a file; None: either."""
_NAMES_SHOWN = 3


def find(model: str, asked: str) -> Path:
    """The file of the weights that were asked for. Raises UsageError, InputError or MissingToolError where there is none.

    ImageNet's weights may not be here yet: then the child that reads them downloads them.
    """
    path = _imagenet(model) if asked == IMAGENET else Path(asked).expanduser().absolute()
    if path.suffix not in READS:
        raise UsageError(
            f"--weights {asked} is a file of an unknown kind", hint=f"known are {IMAGENET}, and files that end in {', '.join(READS)}"
        )
    if asked != IMAGENET and not path.is_file():
        raise InputError(f"there is no {asked}", hint="look at the path")
    return path


def _imagenet(model: str) -> Path:
    """Where torchvision and torch.hub keep the file."""
    name = MODELS.load(model).imagenet
    if not name:
        having = ", ".join(n for n, spec in MODELS.all().items() if spec.imagenet)
        raise UsageError(f"nobody publishes ImageNet's weights for {model}", hint=f"there are some for {having}; else --weights FILE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "torch"
    path = Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints" / name
    if not path.is_file() and installed("torchvision") is None:
        raise MissingToolError(
            f"ImageNet's weights for {model} are not here: there is no {path}, and torchvision, which downloads it, is not installed",
            hint=f"put {name} there from another machine, name a local file (--weights FILE), or `pip install torchvision`",
        )
    return path


def load(spec: ModelSpec, read: Callable[[ModelSpec, Path], dict[str, Array]], path: Path) -> dict[str, Array]:
    """The weights in PyTorch's names and axis order, as `models.weights` has them. Runs in the child of the framework that `read`s.

    Raises InputError for weights that are damaged, of another model, NaN or infinite.
    """
    from .own.answers import require_finite

    if path.name == spec.imagenet:
        _fetch(path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        wanted = path.stem.rpartition("-")[2]  # its name ends in the beginning of its sha256
        if not found.startswith(wanted):
            raise InputError(f"{path} is damaged: its sha256 begins with {found[: len(wanted)]}", hint="delete it, and load it again")
    try:
        weights = read(spec, path)
    except InputError:
        raise
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        hint = "look at how it was saved; a PyTorch file holds a state_dict(), and no pickled model"
        raise InputError(f"{path} does not hold weights: {type(error).__name__}: {said}", hint) from error
    require_finite(weights, path.name)
    return weights


def require_alike(path: Path, wanted: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises InputError when the layers, or their shapes, are not the same. The values of both are shapes."""
    lacking, strange = wanted.keys() - given.keys(), given.keys() - wanted.keys()
    unlike = [f"{name} is {given[name]} and not {wanted[name]}" for name in wanted if name in given and given[name] != wanted[name]]
    said = [f"it lacks {_some(lacking)}"] * bool(lacking) + [f"it has {_some(strange)}"] * bool(strange) + unlike[:1]
    if said:
        raise InputError(
            f"the weights in {path} are of another model: {'; '.join(said)}", hint="name the model, and the size, that they are of"
        )


def _some(names: set[str]) -> str:
    shown = sorted(names)
    return f"{', '.join(shown[:_NAMES_SHOWN])}{f' and {len(shown) - _NAMES_SHOWN} more' if shown[_NAMES_SHOWN:] else ''}"


def _fetch(path: Path) -> None:
    if path.is_file():
        return
    import torchvision

    model = path.stem.partition("-")[0]
    weights = next(w for w in torchvision.models.get_model_weights(model) if w.url.endswith(path.name))
    try:
        weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise InputError(
            f"{path.name} cannot be downloaded: {error}", hint=f"put it into {path.parent} from another machine, or name a local file"
        ) from error
