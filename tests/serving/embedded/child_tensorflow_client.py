"""Run as a child: writes SavedModels with TensorFlow, then talks to the server with TensorFlow Serving's own stubs.

Standard input: one line with the gRPC port. Standard output: `made`, then one JSON object with what the client saw.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

EXAMPLE = tf.train.Example(features=tf.train.Features(feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=[4.0]))}))


class Many(tf.Module):
    """One function per kind of tensor, and a table that must be initialised."""

    def __init__(self) -> None:
        super().__init__()
        values = tf.lookup.KeyValueTensorInitializer(tf.constant(["one", "two"]), tf.constant([1, 2], tf.int64))
        self.table = tf.lookup.StaticHashTable(values, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half(self, x: Any) -> Any:
        return {"y": x * 0.5 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def look_up(self, words: Any) -> Any:
        return {"numbers": self.table.lookup(words), "words_bytes": words}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs: Any) -> Any:
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return {"outputs": x * 0.5 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs: Any) -> Any:
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return {"scores": x, "classes": tf.fill(tf.shape(x), "same")}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def matrix(self, x: Any) -> Any:
        return {"y": tf.linalg.matmul(x, tf.constant([[1.0], [2.0]]))}


def make(base: Path) -> None:
    many = Many()
    functions = {name: getattr(many, name) for name in ("look_up", "regress", "classify", "matrix")}
    version = base / "many" / "1"
    tf.saved_model.save(many, str(version), signatures={"serving_default": many.half, **functions})
    (version / "assets.extra").mkdir()
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "many"
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    with tf.io.TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def expected_metadata(base: Path) -> Any:
    from tensorflow.python.saved_model import loader_impl  # type: ignore[import-not-found, unused-ignore]

    graph = loader_impl.parse_saved_model(str(base / "many" / "1")).meta_graphs[0]
    return {name: json_format.MessageToDict(definition) for name, definition in graph.signature_def.items()}


def ask(port: int, base: Path) -> dict[str, Any]:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "many"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array([1, 2, 5], np.float32)))
    predicted = stub.Predict(request, 30)
    words = predict_pb2.PredictRequest()
    words.model_spec.name, words.model_spec.signature_name = "many", "look_up"
    words.inputs["words"].CopyFrom(tf.make_tensor_proto(["two", "three"]))
    looked_up = stub.Predict(words, 30)
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.name, regress.model_spec.signature_name = "many", "regress"
    regress.input.example_list.examples.append(EXAMPLE)
    classify = classification_pb2.ClassificationRequest()
    classify.CopyFrom(classification_pb2.ClassificationRequest.FromString(regress.SerializeToString()))
    classify.model_spec.signature_name = "classify"
    both = inference_pb2.MultiInferenceRequest(input=regress.input)
    for name in ("regress", "classify"):
        task = both.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = "many", name
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "many"
    definitions = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(metadata, 30).metadata["signature_def"].Unpack(definitions)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "many"
    return {
        "predict": tf.make_ndarray(predicted.outputs["y"]).tolist(),
        "spec": json_format.MessageToDict(predicted.model_spec),
        "numbers": tf.make_ndarray(looked_up.outputs["numbers"]).tolist(),
        "words": [word.decode() for word in tf.make_ndarray(looked_up.outputs["words_bytes"]).tolist()],
        "regress": [row.value for row in stub.Regress(regress, 30).result.regressions],
        "classify": [[c.label, c.score] for row in stub.Classify(classify, 30).result.classifications for c in row.classes],
        "multi": [result.WhichOneof("result") for result in stub.MultiInference(both, 30).results],
        "metadata": {name: json_format.MessageToDict(d) for name, d in definitions.signature_def.items()},
        "expected_metadata": expected_metadata(base),
        "status": json_format.MessageToDict(model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, 30)),
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    sys.stdout.write("made\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps(ask(int(sys.stdin.readline()), Path(sys.argv[1]))) + "\n")
