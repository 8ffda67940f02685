"""TFLite from Keras, by way of a SavedModel: the converter then keeps the signature's names."""

from __future__ import annotations

import tempfile
from pathlib import Path

from serveoff.contract import SIGNATURE
from serveoff.plugins import ExportJob, Format, Source

from ..tolerances import FLOAT32
from . import savedmodel

SERVE_FILE = "model.tflite"


def export(job: ExportJob) -> dict[str, str | int | float | bool]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        savedmodel.write(job.spec, job.model, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        (job.directory / SERVE_FILE).write_bytes(converter.convert())
    return {"signature": SIGNATURE}


FORMAT = Format(
    sources={"keras": Source(precisions={"float32": FLOAT32}, requires=("tensorflow", "ai-edge-litert"), export=export)},
    serve_file=SERVE_FILE,
)
