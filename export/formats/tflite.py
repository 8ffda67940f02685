"""TFLite: from Keras by way of a SavedModel (the converter then keeps the signature's names), from PyTorch by litert-torch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from serveoff import tflite_names
from serveoff.contract import SIGNATURE
from serveoff.plugins import ExportJob, Format, Source

from ..quantisation import calibration
from ..tolerances import FLOAT16, FLOAT32, INT8
from . import _litert_torch, _warm_up, savedmodel

SERVE_FILE = "model.tflite"
PRECISIONS = {"float32": FLOAT32, "float16": FLOAT16, "int8": INT8, "int8_dynamic": INT8}
_NO_BFLOAT16 = "TFLite's converter knows no operators in bfloat16"


def from_keras(job: ExportJob) -> dict[str, str | int | float | bool]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        savedmodel.write(job.spec, job.model, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if job.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]  # alone: int8 weights, activations scaled at run time
        if job.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if job.precision == "int8":  # tensors in and out stay float32, as everywhere
            converter.representative_dataset = lambda: ((SIGNATURE, row) for row in calibration(job.samples, 1))
        (job.directory / SERVE_FILE).write_bytes(converter.convert())
    _finish(job, _warm_up.BATCHES)
    return {"signature": SIGNATURE}


def from_pytorch(job: ExportJob) -> dict[str, str | int | float | bool]:
    options = _litert_torch.write(job, job.directory / SERVE_FILE)
    _finish(job, (_litert_torch.BATCH,))
    return options


def quantised(job: ExportJob, float32: Path) -> dict[str, str | int | float | bool]:
    _litert_torch.convert(float32 / SERVE_FILE, job.precision, job.directory / SERVE_FILE)
    _finish(job, (_litert_torch.BATCH,))
    return {}


def _finish(job: ExportJob, batches: Sequence[int]) -> None:
    """Write the tensors' names where TF Serving looks for them, too, and the warm-up requests."""
    path = job.directory / SERVE_FILE
    try:
        path.write_bytes(tflite_names.with_names(path.read_bytes(), anew=True))
    except ValueError as error:
        sys.stderr.write(f"TF Serving cannot serve it: {error}\n")
    _warm_up.write(job, batches)


FORMAT = Format(
    sources={
        "keras": Source(
            precisions=PRECISIONS,
            requires=("tensorflow", "keras", "tensorboard", "ai-edge-litert"),
            export=from_keras,
            lacks={"bfloat16": _NO_BFLOAT16},
        ),
        "pytorch": Source(
            precisions=_litert_torch.PRECISIONS,
            requires=("torch", "tensorboard", "ai-edge-litert"),
            export=from_pytorch,
            default=False,
            from_float32=quantised,
            environment=_litert_torch.ENVIRONMENT,
            fixed_batch=_litert_torch.BATCH,
            lacks={"int8": _litert_torch.NO_INT8, "bfloat16": _NO_BFLOAT16},
        ),
    },
    serve_file=SERVE_FILE,
)
