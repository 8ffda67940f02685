"""Run as a child: `child_make_torch.py FOLDER` writes real models and PyTorch's own answers (`cases.pickle`) into it."""

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


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model = Model().eval()
    example = tuple(samples(2).values())
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
    cases = []
    with torch.inference_mode():
        for rows_ in ROWS:
            inputs = samples(rows_)
            outputs = dict(zip(("y", "total"), model(**inputs), strict=True))
            cases.append(("serving_default", {k: v.numpy() for k, v in inputs.items()}, {k: v.numpy() for k, v in outputs.items()}))
    (folder / "cases.pickle").write_bytes(pickle.dumps({"torchscript": cases, "onnxruntime": cases}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
