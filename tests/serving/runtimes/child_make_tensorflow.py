"""Run as a child: `child_make_tensorflow.py FOLDER` writes real models and TensorFlow's own answers (`cases.pickle`) into it."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

ROWS = (1, 2, 5)


class Model(tf.Module):  # type: ignore[misc]
    """Two inputs, two outputs, a variable; a table with an asset; scalars; a loop."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        words = folder / "words.txt"
        words.write_text("cat\ndog\n")
        self.weights = tf.Variable(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
            ),
            num_oov_buckets=1,
        )

    def both(self, a: Any, b: Any) -> dict[str, Any]:
        hidden = tf.matmul(a, self.weights) + b
        return {"y": tf.tanh(hidden), "total": tf.reduce_sum(hidden, axis=1)}

    def double(self, x: Any) -> dict[str, Any]:
        return {"twice": 2.0 * x}

    def lookup(self, text: Any) -> dict[str, Any]:
        return {"index": self.table.lookup(text), "upper": tf.strings.upper(text)}

    def scalars(self, n: Any) -> dict[str, Any]:
        total = tf.constant(0, tf.int64)
        for value in n:
            total += value
        return {"sum": total, "text": tf.strings.as_string(total)}

    def any_rank(self, x: Any) -> dict[str, Any]:
        return {"same": tf.identity(x)}

    def exotic(self, x: Any) -> dict[str, Any]:
        return {"y": x}


def typed(function: Any, **inputs: Any) -> Any:
    return tf.function(function, input_signature=[tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()])


def samples(name: str, rows: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(rows)
    if name == "lookup":
        return {"text": np.array([b"dog", b"cat", b"\xffbird\0", b"", b"dog"][:rows], object)}
    if name == "scalars":
        return {"n": np.arange(rows, dtype=np.int64)}
    if name in {"double", "any_rank"}:
        return {"x": random.normal(size=(rows, 3)).astype(np.float32)}
    return {"a": random.normal(size=(rows, 3)).astype(np.float32), "b": random.normal(size=(rows, 4)).astype(np.float32)}


def answers(signatures: dict[str, Any], names: list[str]) -> list[tuple[str, Any, Any]]:
    """(signature, inputs, TensorFlow's outputs) for every row count."""
    found = []
    for name in names:
        for rows in ROWS:
            inputs = samples(name, rows)
            outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
            found.append(
                (
                    name,
                    inputs,
                    {key: np.asarray(value.numpy(), None if value.dtype != tf.string else object) for key, value in outputs.items()},
                )
            )
    return found


def as_array(tensor: Any) -> np.ndarray[Any, Any]:
    return np.asarray(tensor.numpy(), object if tensor.dtype == tf.string else None)


def write_tf1(folder: Path) -> None:
    """The style of TensorFlow 1: a variable and a table that only the main op initialises."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], name="text_in")
        init = v1.lookup.KeyValueTensorInitializer(["a", "b"], [10, 20], tf.string, tf.int64)
        scale = v1.get_variable("scale", initializer=np.int64(3), use_resource=False)
        found = v1.lookup.StaticHashTable(init, -1).lookup(text) * scale
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        definition = v1.saved_model.predict_signature_def({"text": text}, {"found": found})
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, [v1.saved_model.SERVING], {"serving_default": definition}, main_op=v1.tables_initializer()
        )
        builder.save()


def main(folder: Path) -> None:
    model = Model(folder)
    names = {
        "serving_default": typed(model.both, a=([None, 3], tf.float32), b=([None, 4], tf.float32)),
        "double": typed(model.double, x=([None, 3], tf.float32)),
        "lookup": typed(model.lookup, text=([None], tf.string)),
        "scalars": typed(model.scalars, n=([None], tf.int64)),
        "any_rank": typed(model.any_rank, x=(None, tf.float32)),
        "exotic": typed(model.exotic, x=([None], tf.bfloat16)),
    }
    saved = folder / "savedmodel"
    tf.saved_model.save(model, str(saved), signatures=names)
    write_tf1(folder / "tf1")
    lite = folder / "litert"
    lite.mkdir()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default", "double"])
    (lite / "model.tflite").write_bytes(converter.convert())
    fixed = folder / "litert_fixed"
    fixed.mkdir()
    function = tf.function(lambda x: x * 2.0).get_concrete_function(tf.TensorSpec([2, 3], tf.float32, "x"))
    (fixed / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    signatures = tf.saved_model.load(str(saved)).signatures
    cases = {
        "savedmodel": answers(signatures, ["serving_default", "double", "lookup", "scalars", "any_rank"]),
        "litert": answers(signatures, ["serving_default", "double"]),
    }
    (folder / "cases.pickle").write_bytes(pickle.dumps(cases))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
