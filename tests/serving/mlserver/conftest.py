"""Two ONNX models that need no framework, and what they answer, known without running them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from serveoff import artifacts, reference, storage
from serveoff.contract import TensorSpec
from serveoff.plugins import Artifact

ROWS = 12
VALUES: dict[str, np.ndarray] = {
    "bool": np.arange(ROWS) % 3 == 0,
    "float16": np.linspace(-2, 2, ROWS).astype(np.float16),
    "float32": np.linspace(-3e38, 3e38, ROWS).astype(np.float32),
    "float64": np.linspace(-1e-300, 1e300, ROWS),
    **{
        f"{sign}int{bits}": np.linspace(np.iinfo(f"{sign}int{bits}").min, np.iinfo(f"{sign}int{bits}").max, ROWS).astype(f"{sign}int{bits}")
        for sign in ("", "u")
        for bits in (8, 16, 32)
    },
    "int64": np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max, *range(ROWS - 2)]),
    "uint64": np.array([np.iinfo(np.uint64).max, *range(ROWS - 1)], np.uint64),
    "string": np.array([f"text {row}, \u00e9".encode() for row in range(ROWS)], object),
}
"""A vector of each dtype, to the ends of its range."""


@pytest.fixture
def every_dtype(make_artifact: Callable[..., Artifact]) -> Artifact:
    """Passes a vector of each dtype through."""
    specs = {dtype: TensorSpec(name=dtype, dtype=dtype, shape=(None,)) for dtype in VALUES}  # type: ignore[arg-type]
    outputs = {f"same_{dtype}": value for dtype, value in VALUES.items()}
    nodes = [helper.make_node("Identity", [dtype], [f"same_{dtype}"]) for dtype in VALUES]
    return _made(make_artifact, "every", nodes, VALUES, outputs, specs)


@pytest.fixture
def doubling(make_artifact: Callable[..., Artifact]) -> Artifact:
    x = np.arange(3 * ROWS, dtype=np.float32).reshape(ROWS, 3)
    return _made(make_artifact, "doubler", [helper.make_node("Add", ["x", "x"], ["y"])], {"x": x}, {"y": 2 * x}, {})


def _made(
    make_artifact: Callable[..., Artifact],
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, np.ndarray],
    outputs: dict[str, np.ndarray],
    specs: dict[str, TensorSpec],
) -> Artifact:
    artifact = make_artifact(name, "onnx")
    (artifact.version_dir / "model.tiny").unlink()
    takes, gives = ([_told(key, value) for key, value in values.items()] for values in (inputs, outputs))
    graph = helper.make_graph(nodes, name, takes, gives)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    (artifact.version_dir / "model.onnx").write_bytes(model.SerializeToString())
    reference.save(artifact.reference_file, reference.Reference(inputs, outputs, np.zeros(ROWS, np.int64)))
    manifest = msgspec.structs.replace(artifact.manifest, serve_file="model.onnx", files=artifacts.records(artifact.directory, "serve"))
    if specs:
        same = tuple(msgspec.structs.replace(spec, name=f"same_{key}") for key, spec in specs.items())
        manifest = msgspec.structs.replace(manifest, inputs=tuple(specs.values()), outputs=same)
    storage.write(artifact.directory / artifacts.MANIFEST, manifest)
    return artifacts.read(artifact.directory)


def _told(name: str, value: np.ndarray) -> onnx.ValueInfoProto:
    kind = onnx.TensorProto.STRING if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(name, kind, ["batch", *value.shape[1:]])


@pytest.fixture(scope="session")
def environment() -> Path:
    """The Python of MLServer's environment. It fails where there is none: `make test-slow` makes it first."""
    python = Path(sys.prefix, "mlserver", "bin", "python")
    assert python.exists(), "MLServer is not here: `make mlserver`"
    return python
