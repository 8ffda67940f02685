"""`python small_models.py WORKSPACE`: two real artifacts, made by PyTorch. Runs in a process of its own.

`pixels` (TorchScript): one input, one output. `pairs` (ONNX): two inputs of different dtypes, two outputs, one of them integer; its weights
lie beside it, as those of a large model do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch

from serveoff import artifacts, host, reference, storage
from serveoff.contract import DType, Manifest, Parity, ParityCheck, TensorSpec, Tolerance

ROWS = 12
TOLERANCE = Tolerance(atol=1e-6, rtol=1e-5, source="the same kernels in another process")


class Pixels(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(6, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.tanh(self.layer(image.flatten(1)))
        return result


class Pairs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(left) + right.to(torch.float32), right.sum(1)


def keep(workspace: Path, model: str, form: str, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> Path:
    """Write the reference and the manifest around a model file that is already in place."""
    directory = workspace / "artifacts" / f"{model}.pytorch.{form}.float32"
    known = {name: value.detach().numpy() for name, value in (inputs | outputs).items()}
    reference.save(
        directory / "reference.npz",
        reference.Reference({k: known[k] for k in inputs}, {k: known[k] for k in outputs}, np.zeros(ROWS, np.int64)),
    )
    files = artifacts.records(directory, "serve")
    check = ParityCheck(case="made here", output=next(iter(outputs)), batch=ROWS, max_abs=0.0, max_rel=0.0, passed=True)
    storage.write(
        directory / artifacts.MANIFEST,
        Manifest(
            model=model,
            framework="pytorch",
            format=form,
            precision="float32",
            serve_file=Path(files[0].path).name,
            files=files,
            inputs=tuple(spec(k, known[k]) for k in inputs),
            outputs=tuple(spec(k, known[k]) for k in outputs),
            options={},
            parity=Parity(tolerance=TOLERANCE, checks=(check,)),
            weights_sha256="",
            size_bytes=files[0].size_bytes,
            export_s=0.0,
            peak_memory_bytes=0,
            command=tuple(sys.argv),
            created_at="2026-01-01T00:00:00+00:00",
            host=host.facts(),
        ),
    )
    return directory


def spec(name: str, value: np.ndarray) -> TensorSpec:
    return TensorSpec(name=name, dtype=cast("DType", value.dtype.name), shape=(None, *value.shape[1:]))


def main(workspace: Path) -> None:
    torch.manual_seed(7)
    for directory in ("pixels.pytorch.torchscript.float32", "pairs.pytorch.onnx.float32"):
        (workspace / "artifacts" / directory / "serve" / "1").mkdir(parents=True)
    image = torch.randn(ROWS, 2, 3)
    pixels = Pixels().eval()
    script = torch.jit.trace(pixels, (image,))  # type: ignore[no-untyped-call]
    torch.jit.save(script, str(workspace / "artifacts/pixels.pytorch.torchscript.float32/serve/1/model.pt"))
    keep(workspace, "pixels", "torchscript", {"image": image}, {"score": pixels(image)})
    left, right = torch.randn(ROWS, 3), torch.randint(-5, 5, (ROWS, 3))
    pairs = Pairs().eval()
    batch = torch.export.Dim("batch")
    path = workspace / "artifacts/pairs.pytorch.onnx.float32/serve/1/model.onnx"
    torch.onnx.export(
        pairs,
        (left[:2], right[:2]),
        path,
        dynamo=True,
        external_data=False,
        input_names=["left", "right"],
        output_names=["scaled", "total"],
        dynamic_shapes=({0: batch}, {0: batch}),
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=64)  # not the axis of the sum
    scaled, total = pairs(left, right)
    keep(workspace, "pairs", "onnx", {"left": left, "right": right}, {"scaled": scaled, "total": total})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
