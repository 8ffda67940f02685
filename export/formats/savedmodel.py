"""SavedModel from Keras, with one signature whose tensors carry the model's own names."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from serveoff.contract import SIGNATURE
from serveoff.errors import InputError
from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import BFLOAT16, FLOAT32
from . import _warm_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serveoff.plugins import ModelSpec


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    if job.precision == "bfloat16":
        _to_bfloat16(job)
    write(job.spec, job.model, job.directory)
    _warm_up.write(job)
    return {"signature": SIGNATURE}


def _to_bfloat16(job: ExportJob) -> None:
    """Change the job's model. Raises InputError where it does not answer in bfloat16."""
    from ..keras_bfloat16 import convert

    convert(job.model)
    try:
        endpoint(job.spec, job.model)(*(job.samples[t.name][:2] for t in job.spec.inputs))
    except Exception as error:  # any: an operation without such a kernel says so in many ways
        raise InputError(f"the Keras model does not compute in bfloat16: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Keras names the layer in one line, and gives the reason in the next, in bold."""
    lines = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    return " ".join(lines[:2]) or repr(error)


def write(spec: ModelSpec, model: Any, directory: Path) -> None:
    """A SavedModel of a Keras model, batch dynamic."""
    import keras

    archive = keras.export.ExportArchive()
    archive.track(model)
    function = archive.add_endpoint(SIGNATURE, endpoint(spec, model), input_signature=signature(spec)).get_concrete_function()
    # TensorFlow keeps a function's variables in a set, by their addresses: in the order of their use they are saved alike each time
    order = {id(outside): place for place, (outside, _) in enumerate(function.graph.captures)}
    function.set_variables(sorted(function.variables, key=lambda variable: order.get(id(variable.handle), len(order))))
    archive.write_out(str(directory), verbose=False)
    _identify(directory / "fingerprint.pb")


def _identify(path: Path) -> None:
    """Give a SavedModel's fingerprint the id of what it is the fingerprint of; TensorFlow draws one each time."""
    from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.ClearField("uuid")
    fingerprint.uuid = str(int(hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).hexdigest()[:32], 16))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def signature(spec: ModelSpec) -> list[Any]:
    import tensorflow as tf

    return [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in spec.inputs]


def endpoint(spec: ModelSpec, model: Any) -> Callable[..., dict[str, Any]]:
    """The model as a function from its tensors, in order, to its outputs by name, which have the spec's types whatever it computes in."""
    import tensorflow as tf

    def serve(*tensors: Any) -> dict[str, Any]:
        results = model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        listed = results if isinstance(results, list | tuple) else [results]
        pairs = zip(spec.outputs, listed, strict=True)
        return {t.name: tf.cast(value, t.dtype) if value.dtype.is_floating else value for t, value in pairs}

    return serve


_INT8 = "TensorFlow's quantisation of SavedModels is experimental; TFLite and ONNX carry int8 from Keras"

FORMAT = Format(
    sources={
        "keras": Source(
            precisions={"float32": FLOAT32, "bfloat16": BFLOAT16},
            requires=("tensorflow", "keras", "tensorboard"),
            export=export,
            lacks={
                "float16": "float16 ends at 65,504, which activations may pass; bfloat16 has the range of float32",
                "int8": _INT8,
                "int8_dynamic": _INT8,
            },
        )
    },
    serve_file="saved_model.pb",
)
