"""Which operators become int8, all of them between convolutions, else only those that hold weights; and that none overflows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.quantisation import quantise


def model(path: Path, op: str, weights: tuple[int, ...], rows: tuple[int, ...]) -> Path:
    """`Sigmoid(OP(x, w) + b)`, in float32."""
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=weights), "b": rng.normal(size=(1,) * len(rows))}
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node(op, ["x", "w"], ["product"]),
            onnx.helper.make_node("Add", ["product", "b"], ["sum"]),
            onnx.helper.make_node("Sigmoid", ["sum"], ["y"]),
        ],
        "small",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", *rows[1:]])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("op", "weights", "rows", "quantised"),
    [("Conv", (2, 3, 1, 1), (32, 3, 4, 4), {"Conv", "Add", "Sigmoid"}), ("MatMul", (3, 2), (32, 3), {"MatMul"})],
)
def test_int8_only_where_it_helps(tmp_path: Path, op: str, weights: tuple[int, ...], rows: tuple[int, ...], quantised: set[str]) -> None:
    path = model(tmp_path / "model.onnx", op, weights, rows)
    quantise(path, path, "int8", {"x": np.random.default_rng(1).normal(size=rows).astype(np.float32)})
    nodes = onnx.load(path).graph.node
    rounded = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    computing = [node for node in nodes if "Linear" not in node.op_type]
    assert {node.op_type for node in computing} == {op, "Add", "Sigmoid"}
    assert {node.op_type for node in computing if node.output[0] in rounded} == quantised


@pytest.mark.parametrize("precision", ["int8", "int8_dynamic"])
def test_large_products_do_not_overflow(tmp_path: Path, precision: str) -> None:
    """255 * 127 twice is more than 16 bits hold, which is what a processor without VNNI adds it in."""
    path = tmp_path / "model.onnx"
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 64])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 8])],
        [onnx.numpy_helper.from_array(np.linspace(0.9, 1, 64 * 8, dtype=np.float32).reshape(64, 8), "w")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    x = np.random.default_rng(2).uniform(0.9, 1, (32, 64)).astype(np.float32)

    def answers() -> np.ndarray:
        import onnxruntime

        return np.asarray(onnxruntime.InferenceSession(path).run(None, {"x": x})[0])

    exact = answers()
    quantise(path, path, precision, {"x": x})
    assert np.abs(answers() - exact).max() < 0.01 * exact.max()
