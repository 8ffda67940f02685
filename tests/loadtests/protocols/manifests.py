"""Manifests of artifacts that nobody made: a protocol reads their tensors only."""

from __future__ import annotations

from serveoff.contract import DType, Manifest, Parity, TensorSpec, Tolerance
from serveoff.host import facts


def manifest(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...] = ()) -> Manifest:
    return Manifest(
        model="pairs",
        framework="pytorch",
        format="onnx",
        precision="float32",
        serve_file="model.onnx",
        files=(),
        inputs=inputs,
        outputs=outputs,
        options={},
        parity=Parity(tolerance=Tolerance(atol=0, rtol=0, source="exact"), checks=()),
        weights_sha256="",
        size_bytes=0,
        export_s=0,
        peak_memory_bytes=0,
        command=(),
        created_at="2026-01-01T00:00:00+00:00",
        host=facts(),
    )


def spec(name: str, dtype: DType, *shape: int | None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=(None, *shape))
