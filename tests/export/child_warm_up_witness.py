"""Run as a child: what TensorFlow and TF Serving's own message read from warm-up files. Takes paths, answers in JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def read(path: str) -> list[Any]:
    """Per record: its kind, its signature, and its inputs with shape and values."""
    found = []
    for record in tf.data.TFRecordDataset(path):  # looks at the checksums, too
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        arrays = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        about = {name: [array.dtype.name, list(array.shape), float(array.sum())] for name, array in arrays.items()}
        found.append([log.WhichOneof("log_type"), request.model_spec.signature_name, about])
    return found


if __name__ == "__main__":
    print(json.dumps({path: read(path) for path in sys.argv[1:]}))  # noqa: T201
