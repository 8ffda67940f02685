"""Run as a child: `child_make_torch.py FOLDER` writes real models and PyTorch's own answers (`cases.pickle`) into it.

`child_make_torch.py FOLDER aotinductor` compiles instead: that takes half a minute.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch

from serveoff.contract import TensorSpec

ROWS = (1, 2, 5)
INPUTS = (TensorSpec(name="a", dtype="float32", shape=(None, 3)), TensorSpec(name="b", dtype="float32", shape=(None, 4)))
OUTPUTS = (TensorSpec(name="y", dtype="float32", shape=(None, 4)), TensorSpec(name="total", dtype="float32", shape=(None,)))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.layer(a) + b
        return torch.tanh(hidden), hidden.sum(1)


class InPlace(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


class Embed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 2)

    def forward(self, i: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.table(i)
        return found


def samples(rows: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(rows)
    return {"a": torch.randn(rows, 3), "b": torch.randn(rows, 4)}


def write(module: Any, example: Any, folder: Path, signature: dict[str, Any] | None) -> None:
    folder.mkdir()
    extra = {} if signature is None else {"signature.json": msgspec.json.encode(signature)}
    torch.jit.save(torch.jit.trace(module, example), str(folder / "model.pt"), _extra_files=extra)  # type: ignore[no-untyped-call]


def exported(module: Any, example: Any) -> Any:
    batch = torch.export.Dim("batch")
    return torch.export.export(module, example, dynamic_shapes=tuple({0: batch} for _ in example))


def write_pt2(program: Any, folder: Path, extra: dict[str, Any]) -> None:
    folder.mkdir()
    torch.export.save(program, folder / "model.pt2", extra_files=extra)


def write_compiled(program: Any, folder: Path, metadata: dict[str, str]) -> None:
    folder.mkdir()
    configs = {"aot_inductor.metadata": metadata, "cpp.dynamic_threads": True}
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"), inductor_configs=configs)


def main(folder: Path, compiled: bool) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model = Model().eval()
    example = tuple(samples(2).values())
    signature = msgspec.json.encode({"inputs": INPUTS, "outputs": OUTPUTS}).decode()
    if compiled:
        write_compiled(exported(model, example), folder / "aotinductor", {"signature.json": signature})
        write_compiled(exported(model, example), folder / "compiled_unnamed", {})
        (folder / "cases.pickle").write_bytes(pickle.dumps({"aotinductor": answers(model)}))
        return
    write(model, example, folder / "torchscript", {"inputs": INPUTS, "outputs": OUTPUTS})
    write(model, example, folder / "unnamed", None)
    write(InPlace(), (torch.zeros(2),), folder / "in_place", None)
    index = TensorSpec(name="i", dtype="int64", shape=(None,))
    rows = TensorSpec(name="rows", dtype="float32", shape=(None, 2))
    write(Embed().eval(), (torch.zeros(2, dtype=torch.int64),), folder / "embed", {"inputs": (index,), "outputs": (rows,)})
    write(model, example, folder / "damaged", {"inputs": "none"})
    onnx = folder / "onnxruntime"
    onnx.mkdir()
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model,
        example,
        str(onnx / "model.onnx"),
        dynamo=True,
        external_data=False,
        input_names=["a", "b"],
        output_names=["y", "total"],
        dynamic_shapes=({0: batch}, {0: batch}),
    )
    write_pt2(exported(model, example), folder / "pt2", {"signature.json": signature})
    write_pt2(exported(model, example), folder / "pt2_unnamed", {})
    cases = answers(model)
    (folder / "cases.pickle").write_bytes(pickle.dumps({"torchscript": cases, "onnxruntime": cases, "pt2": cases}))


def answers(model: Model) -> list[tuple[str, Any, Any]]:
    """(signature, inputs, PyTorch's outputs) for every row count."""
    found = []
    with torch.inference_mode():
        for rows in ROWS:
            inputs = samples(rows)
            outputs = dict(zip(("y", "total"), model(**inputs), strict=True))
            found.append(("serving_default", {k: v.numpy() for k, v in inputs.items()}, {k: v.numpy() for k, v in outputs.items()}))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["aotinductor"])
