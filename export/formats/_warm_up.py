"""Requests that TF Serving replays before a version answers: `assets.extra/tf_serving_warmup_requests`, records of PredictionLog.

It does so for SavedModel and TFLite alike (both are loaded by saved_model_bundle_source_adapter.cc), and so does the embedded server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from serveoff.contract import SIGNATURE
from serveoff.plugins import ExportJob
from serveoff.wire import tensors, tfs_pb2

FILE = "assets.extra/tf_serving_warmup_requests"
BATCHES = (8, 1)
"""A batch, and then what most requests are: an interpreter of TFLite keeps the shape that it saw last."""


def write(job: ExportJob, batches: Sequence[int] = BATCHES) -> None:
    """A predict request of each batch size, made of the samples."""
    from tensorboard.summary.writer.record_writer import RecordWriter  # TensorFlow's would be no company for PyTorch

    path = job.directory / FILE
    path.parent.mkdir()
    with contextlib.closing(RecordWriter(path.open("wb"))) as writer:
        for rows in batches:
            log = tfs_pb2.PredictionLog()
            log.predict_log.request.model_spec.signature_name = SIGNATURE
            for name, array in job.samples.items():
                tensors.write(log.predict_log.request.inputs[name], array[:rows])
            writer.write(log.SerializeToString(deterministic=True))
