"""TFLite files through LiteRT, with a pool of interpreters: one interpreter serves one call at a time.

Names are those of the file's own signatures. A file without any gets one `serving_default` with the tensors' names, `:0` cut off, as TF
Serving names them. An interpreter is resized when the shapes change, so an idle one that already has the right shapes is preferred.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.contract import SIGNATURE, TensorSpec
from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import Check, in_order, spec

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

_Shapes = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A signature, and where its tensors are."""

    signature: Signature
    names: tuple[str, ...]
    checks: tuple[Check, ...]
    subgraph: int
    inputs: tuple[int, ...]
    outputs: tuple[tuple[str, int], ...]


class _Interpreter:
    """One interpreter and the shapes that each subgraph is set up for.

    Uses the object inside LiteRT's Python class, as its own SignatureRunner does; but the runner resizes and allocates on each call, which
    doubles the cost of a small model.
    """

    def __init__(self, content: bytes, threads: int) -> None:
        self.public = _library().Interpreter(model_content=content, num_threads=threads)
        self._core: Any = self.public._interpreter
        self.shapes: dict[int, _Shapes] = {}

    def run(self, plan: _Plan, values: list[Array], shapes: _Shapes) -> dict[str, Array]:
        core, subgraph = self._core, plan.subgraph
        if self.shapes.get(subgraph) != shapes:
            self._resize(plan, shapes)
        for index, value in zip(plan.inputs, values, strict=True):
            core.SetTensor(index, value, subgraph)
        core.Invoke(subgraph)
        return {name: core.GetTensor(index, subgraph) for name, index in plan.outputs}

    def _resize(self, plan: _Plan, shapes: _Shapes) -> None:
        import numpy as np

        for index, shape in zip(plan.inputs, shapes, strict=True):
            self._core.ResizeInputTensor(index, np.array(shape, np.int32), False, plan.subgraph)
        self._core.AllocateTensors(plan.subgraph)
        self.shapes[plan.subgraph] = shapes


class LiteRtModel:
    """As many interpreters as there are cores, made when they are needed; further calls wait."""

    def __init__(self, directory: Path, threads: int) -> None:
        self._content = (directory / LiteRt.serve_file).read_bytes()
        self._threads = threads
        self._room = threading.BoundedSemaphore(os.cpu_count() or 1)
        first = _Interpreter(self._content, threads)
        self._idle = [first]
        self._plans = _read(first.public)
        self.signatures: Mapping[str, Signature] = {name: plan.signature for name, plan in self._plans.items()}

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        plan = self._plans.get(signature)
        if plan is None:
            raise ValueError(f"there is no signature {signature!r}, only {sorted(self._plans)}")
        values = in_order(plan.names, inputs)
        for check, value in zip(plan.checks, values, strict=True):
            check(value)
        shapes = [value.shape for value in values]
        with self._room:
            interpreter = self._take(plan.subgraph, shapes)
            try:
                outputs = interpreter.run(plan, values, shapes)
            except RuntimeError as error:  # it does not come back: its tensors are in no known state
                raise ValueError(str(error)) from error
            self._idle.append(interpreter)
        return outputs

    def close(self) -> None:
        self._idle.clear()

    def _take(self, subgraph: int, shapes: _Shapes) -> _Interpreter:
        """An interpreter of one's own: the last one used, unless only another one has the right shapes."""
        try:
            last = self._idle.pop()
        except IndexError:
            return _Interpreter(self._content, self._threads)
        if last.shapes.get(subgraph) == shapes:
            return last
        for other in tuple(self._idle):
            if other.shapes.get(subgraph) == shapes:
                try:
                    self._idle.remove(other)
                except ValueError:  # another thread was faster
                    continue
                self._idle.append(last)
                return other
        return last


def _library() -> Any:
    """LiteRT; in the edge image its small predecessor, which has the same classes."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ModuleNotFoundError as error:
        try:
            return importlib.import_module("tflite_runtime.interpreter")
        except ModuleNotFoundError:
            raise error from None


def _read(interpreter: Any) -> dict[str, _Plan]:
    plans = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        plans[name] = _plan(runner._subgraph_index, runner.get_input_details(), runner.get_output_details())
    return plans or {SIGNATURE: _plan(0, _by_name(interpreter.get_input_details()), _by_name(interpreter.get_output_details()))}


def _by_name(details: list[dict[str, Any]]) -> dict[str, Any]:
    return {detail["name"].removesuffix(":0"): detail for detail in details}


def _plan(subgraph: int, inputs: dict[str, Any], outputs: dict[str, Any]) -> _Plan:
    signature = Signature(inputs=_specs(inputs), outputs=_specs(outputs))
    return _Plan(
        signature=signature,
        names=tuple(inputs),
        checks=tuple(Check(described) for described in signature.inputs),
        subgraph=subgraph,
        inputs=tuple(detail["index"] for detail in inputs.values()),
        outputs=tuple((name, detail["index"]) for name, detail in outputs.items()),
    )


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    import numpy as np

    return tuple(spec(name, np.dtype(d["dtype"]).name, d["shape_signature"].tolist()) for name, d in details.items())


class LiteRt:
    serve_file: str = "model.tflite"
    requires: tuple[str, ...] = ("ai-edge-litert",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        return LiteRtModel(directory, threads)


RUNTIME: Runtime = LiteRt()
