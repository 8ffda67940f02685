"""ONNX files through ONNX Runtime's CPU provider. One signature: `serving_default`, with the graph's own names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serveoff.contract import SIGNATURE, TensorSpec
from serveoff.plugins import LoadedModel, Runtime, Signature

from ._tensors import in_order, spec

if TYPE_CHECKING:
    from serveoff.plugins import Array, Tensors

_DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


class OnnxModel:
    """An inference session; `run` of one session may be called from several threads."""

    def __init__(self, directory: Path, threads: int) -> None:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # it warns about things that its own optimiser put there
        self._misfits = (InvalidArgument, Fail, RuntimeException)  # the latter two come from operators: an index out of range, say
        self._session = onnxruntime.InferenceSession(str(directory / Onnx.serve_file), options, providers=["CPUExecutionProvider"])
        inputs, outputs = _specs(self._session.get_inputs()), _specs(self._session.get_outputs())
        self.signatures: Mapping[str, Signature] = {SIGNATURE: Signature(inputs=inputs, outputs=outputs)}
        self._inputs, self._outputs = [t.name for t in inputs], [t.name for t in outputs]
        self._texts_in = frozenset(t.name for t in inputs if t.dtype == "string")
        self._texts_out = frozenset(t.name for t in outputs if t.dtype == "string")

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        if signature != SIGNATURE:
            raise ValueError(f"there is no signature {signature!r}, only {SIGNATURE!r}")
        fed = dict(zip(self._inputs, in_order(self._inputs, inputs), strict=True))
        for name in self._texts_in:
            fed[name] = _decoded(fed[name])
        try:
            results = dict(zip(self._outputs, self._session.run(self._outputs, fed), strict=True))
        except self._misfits as error:
            raise ValueError(str(error)) from error
        for name in self._texts_out:
            results[name] = _encoded(results[name])
        return results

    def close(self) -> None:
        del self._session


def _specs(arguments: Any) -> tuple[TensorSpec, ...]:
    return tuple(spec(a.name, _DTYPES.get(a.type, a.type), a.shape) for a in arguments)


def _decoded(texts: Array) -> Array:
    """ONNX Runtime takes `str`; given bytes, it would store their repr."""
    import numpy as np

    return np.array([t.decode("utf-8", "surrogateescape") if isinstance(t, bytes) else t for t in texts.flat], object).reshape(texts.shape)


def _encoded(texts: Array) -> Array:
    import numpy as np

    return np.array([t.encode("utf-8", "surrogateescape") for t in texts.flat], object).reshape(texts.shape)


class Onnx:
    serve_file: str = "model.onnx"
    requires: tuple[str, ...] = ("onnxruntime",)

    def load(self, directory: Path, threads: int) -> LoadedModel:
        return OnnxModel(directory, threads)


RUNTIME: Runtime = Onnx()
