"""MLServer's side of a model: a custom runtime, as MLServer's own pages show it, which runs an ONNX file in ONNX Runtime.

One file that is put beside `model-settings.json`, and runs in MLServer's environment: it imports nothing of serveoff. `parameters` of these
settings: `uri`, the file; `extra.threads`, how many threads one call may use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs.numpy import to_datatype, to_dtype
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput
from mlserver.utils import get_model_uri
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument


class OnnxModel(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(self.settings.parameters.extra["threads"])
        options.inter_op_num_threads = 1
        path = await get_model_uri(self.settings)
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Raises InferenceError, a 400, for what the model does not take."""
        try:
            results = self._session.run(self._names, {each.name: tensor(each) for each in payload.inputs})
        except (ValueError, OverflowError, InvalidArgument) as error:
            raise InferenceError(str(error)) from error
        return InferenceResponse(model_name=self.name, outputs=list(map(output, self._names, results)))


def tensor(sent: RequestInput) -> np.ndarray:
    """As MLServer's NumpyCodec reads it; text, which ONNX Runtime wants as `str`, it would take for arrays of bytes."""
    values: Any = sent.data.root
    if sent.datatype == "BYTES":
        values = np.array([value.decode() if isinstance(value, bytes) else value for value in values], object)
    return np.asarray(values, object if sent.datatype == "BYTES" else to_dtype(sent)).reshape(sent.shape)


def output(name: str, result: np.ndarray) -> ResponseOutput:
    """As MLServer's NumpyCodec writes it, which would make [rows, 1] of [rows]."""
    return ResponseOutput(name=name, shape=list(result.shape), datatype=to_datatype(result.dtype), data=result.ravel().tolist())
