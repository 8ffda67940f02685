"""Replays `assets.extra/tf_serving_warmup_requests` before a version is published (saved_model_warmup_util.cc)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from serveoff.wire import tensors
from serveoff.wire import tfs_pb2 as pb

from . import inference, log
from .servable import DEFAULT_SIGNATURE, Servable, check_inputs, signature_of
from .status import Code, ServingError, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Array

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def replay(servable: Servable, directory: Path, iterations: int = 1) -> None:
    """Run every recorded request `iterations` times. Raises ServingError when one fails or the file is not what it should be."""
    path = directory / FILE
    if not path.is_file():
        return
    for count, record in enumerate(_records(path), 1):
        if count > MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        try:
            entry = pb.PredictionLog.FromString(record)
        except DecodeError:
            raise invalid(f"Failed to parse warmup record {count} from {path}") from None
        for _ in range(iterations):
            _run(servable, entry)
    log.info(f"Finished reading warmup data at {path}")


def _records(path: Path) -> Iterator[bytes]:
    """TFRecord: length (8 bytes), its checksum (4), the data, its checksum (4). Checksums are not looked at: lengths tell a torn file."""
    with path.open("rb") as file:
        while head := file.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else -1
            data = file.read(length) if 0 <= length < 1 << 31 else b""
            if len(data) != length or len(file.read(4)) != 4:
                raise ServingError(Code.DATA_LOSS, f"truncated record at {path}. Please verify your warmup data is in TFRecord format.")
            yield data


def _run(servable: Servable, entry: pb.PredictionLog) -> None:
    kind = entry.WhichOneof("log_type")
    if kind == "predict_log":
        request = entry.predict_log.request
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        inputs = {alias: _array(alias, proto) for alias, proto in request.inputs.items()}
        check_inputs(signature_of(servable, name), inputs)
        servable.run_here(name, inputs)
    elif kind == "classify_log":
        _run_examples(servable, entry.classify_log.request.model_spec.signature_name, entry.classify_log.request.input)
    elif kind == "regress_log":
        _run_examples(servable, entry.regress_log.request.model_spec.signature_name, entry.regress_log.request.input)
    elif kind == "multi_inference_log":
        for task in entry.multi_inference_log.request.tasks:
            _run_examples(servable, task.model_spec.signature_name, entry.multi_inference_log.request.input)
    elif kind == "session_run_log":
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {pb.PredictionLog.SESSION_RUN_LOG_FIELD_NUMBER}")


def _array(alias: str, proto: pb.TensorProto) -> Array:
    try:
        return tensors.read(proto)
    except ValueError as error:
        raise invalid(f"tensor parsing error: {alias}: {error}") from None


def _run_examples(servable: Servable, signature: str, examples: pb.Input) -> None:
    name = signature or DEFAULT_SIGNATURE
    inference.signature_named(servable, name)
    servable.run_here(name, {inference.INPUTS: inference.serialized(examples)})
