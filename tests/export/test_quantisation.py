from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.quantisation import quantise


def test_a_mask_leaves_int8_the_scores_that_it_masks(tmp_path: Path) -> None:
    """Attention's core. With one scale for the scores and -1e9 every row would see all that is not hidden alike."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(8, 6)).astype(np.float32)
    hidden = np.tile(np.array([0, 0, 0, 0, -1e9, -1e9], np.float32), (64, 1, 1))
    rows = {"x": rng.normal(size=(64, 3, 8)).astype(np.float32), "hidden": hidden}
    nodes = [
        helper.make_node("MatMul", ["x", "kernel"], ["scores"], name="scores"),
        helper.make_node("Add", ["scores", "hidden"], ["masked"], name="masked"),
        helper.make_node("Softmax", ["masked"], ["y"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *array.shape[1:]]) for name, array in rows.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, 6])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    wanted = onnxruntime.InferenceSession(str(path)).run(None, rows)[0]
    quantise(path, "int8", rows)
    assert {"DequantizeLinear", "QuantizeLinear"} <= {node.op_type for node in onnx.load(str(path)).graph.node}
    got = onnxruntime.InferenceSession(str(path)).run(None, rows)[0]
    assert np.abs(got - wanted).max() < 0.1
    assert np.ptp(wanted[..., :4], axis=-1).min() > 0.1, "the scores matter"
