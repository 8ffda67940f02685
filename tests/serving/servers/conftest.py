"""Artifacts with real files that need no framework to be made: y = 2x in ONNX and in TFLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import msgspec
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper

from serveoff import artifacts, storage
from serveoff.plugins import Artifact

MakeDoubling = Callable[[str], Artifact]


@pytest.fixture
def make_doubling(make_artifact: Callable[..., Artifact]) -> MakeDoubling:
    """Makes the artifact of a format, `doubler.pytorch.FORMAT.float32`; formats other than onnx and tflite get an empty file."""

    def make(form: str) -> Artifact:
        artifact = make_artifact("doubler", form)
        files = {"onnx": "model.onnx", "tflite": "model.tflite", "savedmodel": "saved_model.pb", "torchscript": "model.pt"}
        contents = {"onnx": onnx_bytes, "tflite": tflite_bytes}
        (artifact.version_dir / "model.tiny").unlink()
        (artifact.version_dir / files[form]).write_bytes(contents[form]() if form in contents else b"")
        records = artifacts.records(artifact.directory, "serve")
        manifest = msgspec.structs.replace(artifact.manifest, serve_file=files[form], files=records)
        storage.write(artifact.directory / artifacts.MANIFEST, manifest)
        return artifacts.read(artifact.directory)

    return make


def onnx_bytes() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    serialized: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10).SerializeToString()
    onnx.checker.check_model(serialized)
    return serialized


def tflite_bytes(dtype: int = schema.TensorType.FLOAT32, signed: bool = True, weights: bytes = b"") -> bytes:
    """One ADD. Internal tensor names as converters make them; `signed` adds the signature serving_default: x -> y."""

    def tensor(name: str) -> Any:
        return schema.TensorT(shape=[1, 3], shapeSignature=[-1, 3], type=dtype, buffer=0, name=name)

    add = schema.OperatorT(inputs=[0, 0], outputs=[1], builtinOptionsType=schema.BuiltinOptions.AddOptions)
    add.builtinOptions = schema.AddOptionsT()
    graph = schema.SubGraphT(tensors=[tensor("serving_default_x:0"), tensor("StatefulPartitionedCall:0")], name="main")
    graph.inputs, graph.outputs, graph.operators = [0], [1], [add]
    signature = schema.SignatureDefT(signatureKey="serving_default", subgraphIndex=0)
    signature.inputs, signature.outputs = [schema.TensorMapT("x", 0)], [schema.TensorMapT("y", 1)]
    model = schema.ModelT(version=3, description="double", subgraphs=[graph])
    model.operatorCodes = [schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.ADD, version=1)]
    model.buffers = [schema.BufferT(), *([schema.BufferT(data=np.frombuffer(weights, np.uint8))] if weights else [])]
    model.signatureDefs = [signature] if signed else []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture
def make_tflite() -> Callable[..., bytes]:
    return tflite_bytes


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A `tensorflow_model_server` that is the embedded server: it takes the same command line."""
    import sys

    program = tmp_path / "tensorflow_model_server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m serving.embedded "$@"\n')
    program.chmod(0o755)
    return program
