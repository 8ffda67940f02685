"""The embedded server, started as a program, with one more runtime: models written in numpy, so that a test needs no framework.

A version folder holds `model.numpy` with the name of one of MODELS. `broken` does not load; `slow` waits for as long as its input says.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from google.protobuf.message import DecodeError

from serveoff.contract import DType, TensorSpec
from serveoff.plugins import Signature
from serveoff.registry import RUNTIMES
from serveoff.wire import tfs_pb2 as pb
from serving.embedded.__main__ import main

Arrays = Mapping[str, Any]
Call = tuple[Signature, Callable[[Arrays], dict[str, Any]]]


def _spec(name: str, dtype: Any, *shape: int | None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape or (None,))


def _call(inputs: dict[str, str], outputs: dict[str, str], function: Callable[[Arrays], dict[str, Any]]) -> Call:
    return Signature(tuple(_spec(*i) for i in inputs.items()), tuple(_spec(*o) for o in outputs.items())), function


def _echo(dtype: str) -> Call:
    return _call({"x": dtype}, {"y": dtype}, lambda a: {"y": a["x"]})


def _half(a: Arrays) -> dict[str, Any]:
    return {"y": a["x"] * np.float32(0.5) + np.float32(2)}


def _length(text: Any) -> int:
    return len(text)


def _slow(a: Arrays) -> dict[str, Any]:
    time.sleep(float(a["x"].max()))
    return {"y": a["x"], "thread": np.full(a["x"].shape, threading.get_ident() % 1000, np.int64)}


def _fail(error: Exception) -> Callable[[Arrays], dict[str, Any]]:
    def run(_: Arrays) -> dict[str, Any]:
        raise error

    return run


def _feature(example: pb.Example, name: str) -> float:
    feature = example.features.feature[name]
    values = list(feature.float_list.value) or list(feature.int64_list.value)
    return float(values[0]) if values else 0.0


def _examples(a: Arrays) -> list[pb.Example]:
    if a["inputs"].ndim != 1:
        raise ValueError("examples come as a list")
    try:
        return [pb.Example.FromString(row) for row in a["inputs"]]
    except DecodeError as error:
        raise ValueError("an input is no serialized example") from error


def _scores(a: Arrays) -> dict[str, Any]:
    rows = [_feature(row, "x") for row in _examples(a)]
    return {
        "scores": np.array([[v * 0.5 + 2, v] for v in rows], np.float32),
        "classes": np.array([[b"half", b"same"] for _ in rows], object),
    }


def _regress(a: Arrays) -> dict[str, Any]:
    return {"outputs": np.array([_feature(r, "x") * 0.5 + 2 + _feature(r, "bias") for r in _examples(a)], np.float32)}


_FLOAT = {"x": "float32"}
MODELS: dict[str, dict[str, Call]] = {
    "half": {"serving_default": _call(_FLOAT, {"y": "float32"}, _half)},
    "third": {"serving_default": _call(_FLOAT, {"y": "float32"}, lambda a: {"y": a["x"] / np.float32(4) + np.float32(3)})},
    "two": {
        "serving_default": _call({"a": "float32", "b": "float32"}, {"sum": "float32"}, lambda i: {"sum": i["a"] + i["b"]}),
        "only_a": _call({"a": "float32"}, {"twice": "float32"}, lambda i: {"twice": i["a"] * 2}),
    },
    "texts": {
        "serving_default": _call({"s": "string"}, {"s": "string"}, lambda a: {"s": a["s"]}),
        "bytes": _call({"s": "string"}, {"s_bytes": "string"}, lambda a: {"s_bytes": a["s"]}),
        "both": _call({"s": "string"}, {"s": "string", "s_bytes": "string"}, lambda a: {"s": a["s"], "s_bytes": a["s"]}),
        "length": _call(
            {"s": "string"}, {"n": "int64"}, lambda a: {"n": np.vectorize(_length, otypes=[np.int64])(a["s"]) if a["s"].size else a["s"]}
        ),
    },
    "mixed": {
        "serving_default": _call(
            {"i": "int32", "s": "string", "f": "float32", "d": "float64", "b": "bool"},
            {"i": "int32", "s": "string", "f": "float32", "d": "float64", "b": "bool", "s_bytes": "string"},
            lambda a: {**a, "s_bytes": a["s"]},
        )
    },
    "types": {dtype: _echo(dtype) for dtype in get_args(DType)},
    "outputs": {
        "serving_default": _call(_FLOAT, {"y": "float32", "n": "int64"}, lambda a: {"y": a["x"], "n": np.arange(len(a["x"]))}),
        "scalar": _call(_FLOAT, {"y": "float32"}, lambda a: {"y": a["x"].sum()}),
        "uneven": _call(_FLOAT, {"y": "float32", "z": "float32"}, lambda a: {"y": a["x"], "z": a["x"][:1]}),
        "empty": _call(_FLOAT, {"y": "float32"}, lambda a: {"y": a["x"][:0]}),
        "half": _call(_FLOAT, {"y": "float16"}, lambda a: {"y": a["x"].astype(np.float16)}),
        "grid": _call(_FLOAT, {"y": "int32"}, lambda a: {"y": np.arange(len(a["x"]) * 4, dtype=np.int32).reshape(-1, 2, 2)}),
        "hollow": _call(_FLOAT, {"y": "float32"}, lambda a: {"y": np.zeros((len(a["x"]), 0, 2), np.float32)}),
    },
    "errors": {
        "serving_default": _call(_FLOAT, {"y": "float32"}, _fail(ValueError("the shapes do not fit"))),
        "crash": _call(_FLOAT, {"y": "float32"}, _fail(RuntimeError("disk on fire"))),
    },
    "slow": {"serving_default": _call(_FLOAT, {"y": "float32", "thread": "int64"}, _slow)},
    "counts": {
        "serving_default": _call(
            _FLOAT, {"rows": "int64", "x": "float32"}, lambda a: {"rows": np.full(len(a["x"]), len(a["x"])), "x": a["x"]}
        )
    },
    "examples": {
        "serving_default": _call({"inputs": "string"}, {"outputs": "float32"}, _regress),
        "classify": _call({"inputs": "string"}, {"classes": "string", "scores": "float32"}, _scores),
        "scores": _call({"inputs": "string"}, {"scores": "float32"}, lambda a: {"scores": _scores(a)["scores"]}),
        "labels": _call({"inputs": "string"}, {"classes": "string"}, lambda a: {"classes": _scores(a)["classes"]}),
        "wide": _call({"inputs": "string"}, {"outputs": "float32"}, lambda a: {"outputs": _scores(a)["scores"]}),
        "odd_name": _call({"examples": "string"}, {"outputs": "float32"}, _regress),
    },
}


class NumpyModel:
    def __init__(self, name: str) -> None:
        if name == "broken":
            raise ValueError("this model is broken on purpose")
        self._calls = MODELS[name]
        self.signatures: Mapping[str, Signature] = {name: call[0] for name, call in self._calls.items()}

    def run(self, signature: str, inputs: Arrays) -> dict[str, Any]:
        return {name: np.asarray(value) for name, value in self._calls[signature][1](inputs).items()}

    def close(self) -> None:
        sys.stderr.write("closed a numpy model\n")


class Numpy:
    serve_file = "model.numpy"
    requires: tuple[str, ...] = ("numpy",)

    def load(self, directory: Path, threads: int) -> Any:
        return NumpyModel((directory / self.serve_file).read_text().strip())


if __name__ == "__main__":
    real = RUNTIMES.all
    RUNTIMES.all = lambda: real() | {"numpy": Numpy()}  # type: ignore[method-assign]
    main()
