"""TorchServe's side of a model: one file that goes into the archive and runs in TorchServe's worker, here or in the stock image.

Two kinds of request: a JSON body `{"instances": [...]}` as TF Serving takes it in row form, answered `{"predictions": [...]}`; and
tensors, one request field per model input holding `.npy` bytes (how gRPC sends them), answered by the outputs' `.npy` bytes, one after
the other in the order of `serveoff.json`. All requests of a batch are run as one batch.

Self-contained: imports nothing of serveoff, and keeps to Python 3.9, which the stock image has. TorchServe wants exactly one class.
"""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from ts.utils.util import PredictionException

SPEC = "serveoff.json"
_NPY = b"\x93NUMPY"

Tensors = dict[str, np.ndarray]
Run = Callable[[Tensors], list[np.ndarray]]


class ServeoffHandler:
    """What TorchServe calls: `initialize` once, `handle` for each batch of requests."""

    def initialize(self, context: Any) -> None:
        # TorchServe's worker writes lines for every request into a pipe that its Java side parses: it would be measured as the model.
        logging.getLogger().setLevel(logging.WARNING)
        logging.getLogger("ts.service").addFilter(_is_ours)
        directory = context.system_properties["model_dir"]
        with open(os.path.join(directory, SPEC), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - a plain script
            spec = json.load(file)
        self.inputs: list[dict[str, Any]] = spec["inputs"]
        self.outputs: list[str] = spec["outputs"]
        self.fixed_batch: int | None = spec["fixed_batch"]
        path = os.path.join(directory, context.manifest["model"]["serializedFile"])  # noqa: PTH118
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        load = {".onnx": load_onnx, ".pt2": load_pt2}.get(os.path.splitext(path)[1], load_torchscript)  # noqa: PTH122
        self.run: Run = load(path, [i["name"] for i in self.inputs], self.outputs, threads)

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One reply per request. Raises PredictionException (400) when every request is at fault; else only those at fault are told."""
        parsed: list[Tensors | None] = []
        errors: list[str] = []
        for request in requests:
            try:
                parsed.append(read(request, self.inputs, self.fixed_batch))
                errors.append("")
            except ValueError as error:
                parsed.append(None)
                errors.append(str(error))
        good = [tensors for tensors in parsed if tensors is not None]
        if not good:
            raise PredictionException(errors[0] if errors else "no requests", 400)
        answers = iter(self._run_together(good))
        replies = []
        for index, request in enumerate(requests):
            if parsed[index] is None:
                context.set_response_status(400, "Bad Request", index)
                context.set_response_content_type(index, "application/json")
                replies.append(to_json({"code": 400, "type": "BadRequest", "message": errors[index]}))
            elif is_tensors(request, self.inputs):
                replies.append(to_npy(next(answers)))
            else:
                context.set_response_content_type(index, "application/json")
                replies.append(to_rows(next(answers), self.outputs))
        return replies

    def _run_together(self, requests: list[Tensors]) -> list[list[np.ndarray]]:
        """Each request's outputs, from one run of all rows (a model with a fixed batch is run once per request)."""
        if len(requests) == 1 or self.fixed_batch is not None:
            return [self.run(tensors) for tensors in requests]
        joined = {i["name"]: np.concatenate([tensors[i["name"]] for tensors in requests]) for i in self.inputs}
        ends = np.cumsum([rows(tensors) for tensors in requests])[:-1]
        split = [np.split(output, ends) for output in self.run(joined)]
        return [[output[index] for output in split] for index in range(len(requests))]


def load_torchscript(path: str, inputs: list[str], outputs: list[str], threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    model: Any = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    return run_torch(model, inputs, outputs)


def load_pt2(path: str, inputs: list[str], outputs: list[str], threads: int) -> Run:
    """An exported program, or an AOTInductor package; without PyTorch's guards and specs, for `read` has looked at the tensors."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    with zipfile.ZipFile(path) as archive:
        compiled = any("/data/aotinductor/" in name for name in archive.namelist())
    if not compiled:
        return run_torch(torch.export.load(path).module(check_guards=False).forward, inputs, outputs)
    with tempfile.TemporaryDirectory() as unpacked:  # PyTorch would leave it behind when TorchServe ends the worker
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = unpacked
        loader: Any = torch._C._aoti.AOTIModelPackageLoader(path, "model", False, 1, -1)  # `aoti_load_package` imports the whole compiler
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
    return run_torch(lambda *tensors: loader.boxed_run(list(tensors)), inputs, outputs)


def run_torch(model: Callable[..., Any], inputs: list[str], outputs: list[str]) -> Run:
    import torch

    def run(tensors: Tensors) -> list[np.ndarray]:
        with torch.inference_mode():
            result = model(*[torch.from_numpy(np.require(tensors[name], requirements=["C", "W"])) for name in inputs])
        if isinstance(result, dict):
            result = [result[name] for name in outputs]
        elif isinstance(result, torch.Tensor):
            result = [result]
        return [tensor.numpy() for tensor in result]

    return run


def load_onnx(path: str, inputs: list[str], outputs: list[str], threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(tensors: Tensors) -> list[np.ndarray]:
        result: list[np.ndarray] = session.run(outputs, {name: tensors[name] for name in inputs})
        return result

    return run


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a log record tells of a fault of the server: a refused request is the client's, and needs no stack trace here."""
    return not (record.exc_info and isinstance(record.exc_info[1], PredictionException))


def is_tensors(request: dict[str, Any], inputs: list[dict[str, Any]]) -> bool:
    """Whether the request's fields are the model's inputs as `.npy` bytes."""
    return all(isinstance(v := request.get(i["name"]), (bytes, bytearray)) and v.startswith(_NPY) for i in inputs)


def read(request: dict[str, Any], inputs: list[dict[str, Any]], fixed_batch: int | None) -> Tensors:
    """The request's tensors by input name, batch first. Raises ValueError, in words for the client."""
    if is_tensors(request, inputs):
        tensors = {i["name"]: from_npy(request[i["name"]], i["name"]) for i in inputs}
    else:
        tensors = from_rows(request, inputs)
    for spec in inputs:
        array, name, shape = tensors[spec["name"]], spec["name"], spec["shape"]
        if array.dtype != np.dtype(spec["dtype"]):
            raise ValueError(f"input {name}: dtype {array.dtype} instead of {spec['dtype']}")
        if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape[1:], array.shape[1:])):  # noqa: B905 - 3.9
            raise ValueError(f"input {name}: shape {list(array.shape)} does not fit {shape}")
    sizes = {len(array) for array in tensors.values()}
    if len(sizes) != 1:
        raise ValueError(f"the inputs differ in their number of rows: {sorted(sizes)}")
    if fixed_batch is not None and sizes != {fixed_batch}:
        raise ValueError(f"this model takes batches of {fixed_batch} rows, not {sizes.pop()}")
    if sizes == {0}:
        raise ValueError("no rows")
    return tensors


def from_npy(data: bytes, name: str) -> np.ndarray:
    try:
        found: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise ValueError(f"input {name} is not a whole .npy file: {error}") from None
    return found


def from_rows(request: dict[str, Any], inputs: list[dict[str, Any]]) -> Tensors:
    """The tensors of a JSON body in TF Serving's row form: bare rows where there is one input, else an object per row."""
    body = request.get("body", request.get("data"))
    if body is None:
        raise ValueError("the request has neither a JSON body nor a field for each input: " + ", ".join(i["name"] for i in inputs))
    if isinstance(body, (bytes, bytearray)):  # with TorchServe's decode_input_request=false, or another content type
        try:
            body = json.loads(body)
        except ValueError as error:
            raise ValueError(f"the body is not JSON: {error}") from None
    instances = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(instances, list) or not instances:
        raise ValueError('the body must be a JSON object whose "instances" is a list with at least one row')
    names = [i["name"] for i in inputs]
    if len(names) > 1 or isinstance(instances[0], dict):
        for index, row in enumerate(instances):
            if not isinstance(row, dict) or row.keys() != set(names):
                raise ValueError(f"row {index} must be an object with the keys {', '.join(names)}")
        return {i["name"]: array([row[i["name"]] for row in instances], i) for i in inputs}
    return {names[0]: array(instances, inputs[0])}


def array(values: list[Any], spec: dict[str, Any]) -> np.ndarray:
    """JSON values as an array of the input's dtype; nothing is guessed: no text, no null, no fraction for an integer."""
    wanted = np.dtype(spec["dtype"])
    try:
        found = np.asarray(values)
    except ValueError:
        raise ValueError(f"input {spec['name']}: the rows differ in shape") from None
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[wanted.kind]
    if found.dtype.kind not in allowed:
        raise ValueError(f"input {spec['name']}: the values are not all of type {spec['dtype']}")
    if wanted.kind in "iu" and found.size and not np.iinfo(wanted).min <= found.min() <= found.max() <= np.iinfo(wanted).max:
        raise ValueError(f"input {spec['name']}: a value does not fit into {spec['dtype']}")
    with np.errstate(over="ignore"):  # a float too large becomes infinity, as in TF Serving
        return found.astype(wanted)


def rows(tensors: Tensors) -> int:
    return len(next(iter(tensors.values())))


def to_npy(outputs: list[np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    for output in outputs:
        np.save(buffer, output, allow_pickle=False)
    return buffer.getvalue()


def to_rows(outputs: list[np.ndarray], names: list[str]) -> bytes:
    lists = [output.tolist() for output in outputs]
    if len(names) == 1:
        return to_json({"predictions": lists[0]})
    return to_json({"predictions": [{name: lists[k][row] for k, name in enumerate(names)} for row in range(len(lists[0]))]})


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
