"""Models of PyTorch, ONNX and TorchScript, good and bad."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from serveoff.contract import Origin
from serveoff.own_models import Description, tensor

Case = tuple[Path, Origin, Description]
HEAD = "import torch\nfrom torch import nn\nclass Net(nn.Module):\n    def forward(self, x): return {result}\n"
NAN_WEIGHT = (
    "import torch\ndef build_pytorch():\n    m = torch.nn.Linear(4, 2)\n    torch.nn.init.constant_(m.bias, float('nan'))\n    return m\n"
)
BESIDE = """from part import first
import numpy as np
def build_pytorch():
    first.bias.data.fill_(float(open("weights.txt").read()))
    return first
def samples():
    return {"x": np.ones((70, 4), "float32") * np.arange(70, dtype="float32")[:, None]}
"""
TWO = Description(inputs=(tensor("x:float32:None,4"),))


class Local(torch.nn.Module):
    """A class that only this module knows."""


def python_file(folder: Path, text: str) -> Path:
    path = folder / "m.py"
    path.write_text(text)
    return path


def net(folder: Path, result: str) -> Path:
    return python_file(folder, HEAD.format(result=result) + "def build_pytorch(): return Net()\n")


def graph(folder: Path, op: str, shape: list[int | str], dtype: int = TensorProto.FLOAT, weight: Any = None, **attributes: Any) -> Path:
    """An ONNX model of one operator from `x` (and a weight) to `y`."""
    x, y = (helper.make_tensor_value_info(name, dtype, shape) for name in "xy")
    weights = [] if weight is None else [numpy_helper.from_array(weight, "w")]
    node = helper.make_node(op, ["x", *(w.name for w in weights)], ["y"], **attributes)
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], weights), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(folder / "m.onnx"))
    return folder / "m.onnx"


class Cases(dict[str, Case]):
    """Each in a folder of its own, by whose name it is known."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def folder(self, name: str) -> Path:
        made = self._root / name
        made.mkdir()
        return made

    def add(self, path: Path, said: Description = TWO, origin: Origin = "pytorch") -> None:
        self[path.parent.name] = (path, origin, said)


def make(root: Path) -> dict[str, Case]:
    cases = Cases(root)
    _models(cases)
    _pickles(cases)
    _samples(cases)
    _given(cases)
    return cases


def _models(cases: Cases) -> None:
    folder, add = cases.folder, cases.add
    add(python_file(folder("raises"), "def build_pytorch():\n    return 1 / 0\n"))
    add(python_file(folder("leaves"), "import sys\nsys.exit('no licence')\ndef build_pytorch(): ...\n"))
    add(python_file(folder("returns_no_module"), "def build_pytorch():\n    return 'net'\n"))
    add(net(folder("batch_mean"), "x - x.mean(0)"))
    add(net(folder("dropout"), "nn.functional.dropout(x, 0.5, training=True)"))
    add(net(folder("no_batch"), "x.sum()"))
    add(net(folder("answers_nan"), "x / 0 * 0"))
    add(net(folder("answers_text"), "'x'"))
    add(net(folder("refuses"), "x @ torch.ones(5, 2)"))
    add(net(folder("tells_nothing"), "x * 2"), Description())
    add(net(folder("dictionary"), "{'a': x * 2, 'b': x.sum(1)}"))
    add(net(folder("named"), "(x * 2, x + 1)"), Description(inputs=TWO.inputs, outputs=("twice", "more")))
    add(python_file(folder("nan_weight"), NAN_WEIGHT))
    beside = python_file(folder("beside"), BESIDE)
    (beside.parent / "part.py").write_text("import torch\nfirst = torch.nn.Linear(4, 2)\n")
    (beside.parent / "weights.txt").write_text("3")
    add(beside, Description())


def _pickles(cases: Cases) -> None:
    pickled = Description(inputs=TWO.inputs, allow_pickle=True)
    for name, value in {"unpicklable": Local(), "state": {"weight": torch.ones(2)}, "pickled": torch.nn.Linear(4, 2)}.items():
        path = cases.folder(name) / "m.pt"
        torch.save(value, path)
        path.write_bytes(path.read_bytes().replace(b"Local", b"Lacol"))  # a class that is nowhere
        cases.add(path, pickled)


def _samples(cases: Cases) -> None:
    generator = np.random.default_rng(0)
    arrays: dict[str, dict[str, Any]] = {
        "sample_shape": {"x": np.ones((5, 3), "float32")},
        "sample_dtype": {"x": np.ones((5, 4))},
        "sample_names": {"y": np.ones((5, 4), "float32"), "z": np.ones((5, 4), "float32")},
        "sample_objects": {"x": np.array([{}, []], object)},
        "sample_labels": {"x": generator.normal(size=(300, 4)).astype("float32"), "labels": np.arange(300) % 2},
        "samples_damaged": {"x": np.ones((5, 4), "float32")},
    }
    for name, kept in arrays.items():
        path = net(cases.folder(name), "x * 2")
        samples = path.parent / "s.npz"
        np.savez(samples, **kept)
        cases.add(path, Description(inputs=TWO.inputs, samples=str(samples)))
    samples.write_bytes(samples.read_bytes()[:30])


def _given(cases: Cases) -> None:
    folder, nothing = cases.folder, Description()
    cases.add(graph(folder("onnx"), "Abs", ["n", 4]), nothing, "given")
    cases.add(graph(folder("onnx_fixed"), "Abs", [3, 4]), nothing, "given")
    cases.add(graph(folder("onnx_open"), "Abs", ["n", "length"], TensorProto.INT64), nothing, "given")
    cases.add(graph(folder("onnx_said"), "Abs", ["n", "length"]), TWO, "given")
    cases.add(graph(folder("onnx_contradicted"), "Abs", ["n", 5]), TWO, "given")
    cases.add(graph(folder("onnx_no_batch"), "Abs", []), nothing, "given")
    cases.add(graph(folder("onnx_over_the_batch"), "Softmax", ["n", 4], axis=0), nothing, "given")
    cut = graph(folder("onnx_cut"), "Abs", ["n", 4])
    cut.write_bytes(cut.read_bytes()[:-9])
    cases.add(cut, nothing, "given")
    apart = graph(folder("onnx_apart"), "Add", ["n", 400], weight=np.ones(400, "float32"))
    onnx.save(onnx.load(str(apart)), str(apart), save_as_external_data=True, location="beside.bin", size_threshold=0)
    cases.add(apart, nothing, "given")
    alone = folder("onnx_alone") / "m.onnx"
    shutil.copy(apart, alone)
    cases.add(alone, nothing, "given")
    script = torch.jit.trace(torch.nn.Linear(4, 2), (torch.ones(2, 4),))  # type: ignore[no-untyped-call]
    for name, said in {"script": Description(inputs=TWO.inputs, outputs=("y",)), "script_nameless": nothing}.items():
        path = folder(name) / "m.pt"
        torch.jit.save(script, str(path))
        cases.add(path, said, "given")
