"""PyTorch models of the user's own: from a model file, a pickle that was allowed, or a Hugging Face model directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from serveoff import own_kinds
from serveoff.errors import InputError

from .. import weights as weight_files
from . import python_file

if TYPE_CHECKING:
    from serveoff.contract import TensorSpec
    from serveoff.own_models import OwnModel
    from serveoff.plugins import Array, Tensors

    from .samples import Ids


class PyTorchModel:
    """A module in evaluation mode. By itself it does not tell what it takes."""

    def __init__(
        self, module: torch.nn.Module, what: str, inputs: tuple[TensorSpec, ...] = (), ids: Mapping[str, Ids] | None = None
    ) -> None:
        self._module, self._what = module.eval(), what
        self.inputs, self.ids = inputs, ids or {}

    def settle(self, inputs: tuple[TensorSpec, ...], samples: Tensors) -> None:
        self._names, self._samples = [t.name for t in inputs], samples

    def run(self, inputs: Tensors) -> dict[str, Array]:
        try:
            result = self._answer(inputs)
        except Exception as error:
            said = str(error).strip().splitlines() or [repr(error)]
            raise InputError(f"the PyTorch model refuses the samples: {type(error).__name__}: {said[0]}") from error
        named = _named(result)
        for name, value in named.items():
            if not isinstance(value, torch.Tensor):
                raise InputError(f"output {name} of {self._what} is a {type(value).__name__}, not a tensor")
        return {name: value.numpy() for name, value in named.items()}

    def weights(self) -> Mapping[str, Array]:
        for name, value in self._module.state_dict().items():
            if not isinstance(value, torch.Tensor) or value.dtype == torch.bfloat16:
                kind = str(value.dtype) if isinstance(value, torch.Tensor) else type(value).__name__
                raise InputError(
                    f"the weight {name} of {self._what} is {kind}, which cannot be kept", hint="model.float() makes it float32"
                )
        return {name: value.detach().cpu().numpy().copy() for name, value in self._module.state_dict().items()}

    def restore(self, weights: Mapping[str, Array]) -> None:
        shapes = {name: value.shape for name, value in self._module.state_dict().items()}
        known = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
        self._module.load_state_dict({n: v.reshape(shapes[n]) if n in shapes else v for n, v in known.items()})  # a file has no scalars

    def shared(self) -> Mapping[str, Array]:
        return weight_files.from_pytorch(self._module)

    def adopt(self, shared: Mapping[str, Array]) -> None:
        try:
            weight_files.into_pytorch(self._module, shared)
        except RuntimeError as error:
            raise InputError(f"weights of other shapes: {str(error).splitlines()[-1].strip()}") from error

    def native(self) -> torch.nn.Module:
        """The same model with a tuple of tensors where it answered with a dictionary; a wrapper would hide the inputs from torch.export.

        Only there: torch.jit.script takes no such hook.
        """
        if isinstance(self._answer({name: values[:2] for name, values in self._samples.items()}), Mapping):  # as many as are exported with
            self._module.register_forward_hook(lambda _module, _inputs, result: tuple(result.values()))
        return self._module

    def _answer(self, inputs: Tensors) -> Any:
        with torch.inference_mode():
            return self._module(*(torch.from_numpy(inputs[name]) for name in self._names))


def open_model(source: OwnModel, checkpoint: Path) -> PyTorchModel:
    path = Path(source.path)
    if source.kind == own_kinds.TRANSFORMERS:
        from . import transformers  # it is an extra

        module, inputs, ids = transformers.build(source)
        return PyTorchModel(module, path.name, inputs, ids)
    return PyTorchModel(_BUILD[source.kind](path), path.name)


def _named(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    return {f"output_{i}": value for i, value in enumerate(result if isinstance(result, tuple | list) else [result])}


def _from_file(path: Path) -> torch.nn.Module:
    function = own_kinds.BUILDERS["pytorch"]
    model = python_file.call(path, function)
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{function}() of {path} returned a {type(model).__name__}, not a torch.nn.Module")
    return model


def _from_pickle(path: Path) -> torch.nn.Module:
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise InputError(
            f"{path} cannot be unpickled: {type(error).__name__}: {error}",
            hint="a pickle needs the classes it was made of: name a .py file that builds the model and loads its weights",
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"{path} holds a {type(model).__name__}, not a model",
            hint="name a .py file whose build_pytorch() makes the model, and loads these weights into it",
        )
    return model


_BUILD = {own_kinds.PYTHON: _from_file, own_kinds.PICKLE: _from_pickle}
