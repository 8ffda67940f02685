"""A file that is served as it was given: opened by the runtime that serves it, and kept in the checkpoint for the export."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from serveoff import artifacts, onnx_file
from serveoff.contract import SIGNATURE, TensorSpec
from serveoff.errors import InputError
from serveoff.plugins import LoadedModel, Runtime, Signature
from serveoff.registry import FORMATS, RUNTIMES, suggestion

from .tensors import described

if TYPE_CHECKING:
    from serveoff.own_models import OwnModel
    from serveoff.plugins import Array, Tensors

    from .samples import Ids

FOLDER = "given"
"""In the checkpoint: what becomes `serve/1` of the artifact."""
_SIGNATURE_FILE = "signature.json"


class GivenModel:
    """A loaded artifact. TorchScript without a signature tells only how many inputs there are."""

    def __init__(self, source: OwnModel, folder: Path) -> None:
        self._source, self._folder, self._runtime = source, folder, _runtime(source.kind)
        self._what = Path(source.path).name
        self._file = folder / self._runtime.serve_file
        beside = _copy(Path(source.path), self._file)
        self.beside = {name: artifacts.digest(Path(source.path).with_name(name)) for name in beside}
        self._nameless = source.kind == "torchscript" and not _has_signature(self._file)
        self._open()
        self.inputs: tuple[TensorSpec, ...] = () if self._nameless else self._told.inputs
        self.ids: Mapping[str, Ids] = {}

    def settle(self, inputs: tuple[TensorSpec, ...], samples: Tensors) -> None:
        if not self._nameless:
            return
        count = len(self._told.inputs)
        if count != len(inputs):
            raise InputError(
                f"{self._what} takes {count} inputs, {len(inputs)} are described", hint="--input once for each, in their order"
            )
        positional = dict(zip((t.name for t in self._told.inputs), samples.values(), strict=True))
        answers = list(self._answer(positional).values())
        names = self._source.outputs or tuple(f"output_{i}" for i in range(len(answers)))
        if len(names) != len(answers):
            raise InputError(
                f"{self._what} has {len(answers)} outputs, {len(names)} are named", hint="--output once for each, in their order"
            )
        signature = {"inputs": inputs, "outputs": described(dict(zip(names, answers, strict=True)))}
        with zipfile.ZipFile(self._file, "a") as archive:  # where our own exporter puts it: TorchScript has no names of its own
            root = archive.namelist()[0].partition("/")[0]
            archive.writestr(f"{root}/extra/{_SIGNATURE_FILE}", msgspec.json.encode(signature))
        self._loaded.close()
        self._open()

    def run(self, inputs: Tensors) -> dict[str, Array]:
        return self._answer(inputs)

    def weights(self) -> Mapping[str, Array]:
        return {}

    def restore(self, weights: Mapping[str, Array]) -> None:
        pass

    def shared(self) -> Mapping[str, Array]:
        raise InputError("a file that is served as given shares no weights")

    def adopt(self, shared: Mapping[str, Array]) -> None:
        self.shared()

    def native(self) -> Path:
        return self._folder

    def _open(self) -> None:
        try:
            self._loaded: LoadedModel = self._runtime.load(self._folder, threads=1)
        except Exception as error:
            raise InputError(
                f"{self._source.path} cannot be loaded: {_first_line(error)}", hint="it is damaged, or not what its name says"
            ) from error
        self.signature, self._told = _signature(self._loaded, self._source)

    def _answer(self, inputs: Tensors) -> dict[str, Array]:
        try:
            return self._loaded.run(self.signature, inputs)
        except ValueError as error:
            raise InputError(f"{self._what} refuses the samples: {_first_line(error)}") from error


def open_model(source: OwnModel, checkpoint: Path) -> GivenModel:
    return GivenModel(source, checkpoint / FOLDER)


def _runtime(kind: str) -> Runtime:
    serve_file = FORMATS.load(kind).serve_file
    return next(r for r in RUNTIMES.all().values() if r.serve_file == serve_file)


def _copy(source: Path, target: Path) -> list[str]:
    """Copy what is served. Returns the files beside an ONNX model that hold its weights: they come along, in one file if they fit."""
    shutil.rmtree(target.parent, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, target.parent)
        return []
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)
    return _bring_weights(source, target) if target.suffix == ".onnx" else []


def _bring_weights(source: Path, target: Path) -> list[str]:
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    try:
        model = onnx.load(source, load_external_data=False)
    except Exception as error:
        raise InputError(f"{source} is not an ONNX model: {_first_line(error)}", hint="it is damaged, or not what its name says") from error
    beside = sorted({ExternalDataInfo(tensor).location for tensor in filter(uses_external_data, model.graph.initializer)})
    if not beside:
        return []
    try:
        load_external_data_for_model(model, str(source.parent))
    except Exception as error:
        raise InputError(
            f"{source} has its weights in {', '.join(beside)} beside it, which cannot be read: {_first_line(error)}",
            hint="put them into one folder",
        ) from error
    onnx_file.save(model, target)
    return beside


def _has_signature(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/extra/{_SIGNATURE_FILE}") for name in archive.namelist())


def _signature(loaded: LoadedModel, source: OwnModel) -> tuple[str, Signature]:
    """The one that was named, else `serving_default`, else the only one."""
    there = loaded.signatures
    name = source.signature or (SIGNATURE if SIGNATURE in there else next(iter(there), "") if len(there) == 1 else "")
    if name in there:
        return name, there[name]
    if source.signature:
        raise InputError(f"{source.path} has no signature {source.signature!r}", hint=suggestion(source.signature, sorted(there)))
    found = f"the signatures {', '.join(sorted(there))}" if there else "no signature that can be served"
    raise InputError(f"{source.path} has {found}", hint="name one: --signature NAME" if there else "export it with a signature")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]
