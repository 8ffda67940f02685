"""The parity gate: the exported file, loaded by the runtime that will serve it, against the source model's recorded answers."""

from __future__ import annotations

import gc
from pathlib import Path

from serveoff import parity, reference
from serveoff.contract import SIGNATURE, Parity, ParityCheck, Tolerance
from serveoff.errors import GateError
from serveoff.plugins import LoadedModel, ModelSpec, Tensors
from serveoff.registry import RUNTIMES

BATCHES = (1, 3, 8)
"""Besides all samples at once. A model that is right at batch 1 and wrong at batch 8 has been seen (AOTInductor with an LSTM)."""


def judge(spec: ModelSpec, serve_file: str, directory: Path, references: Path, tolerance: Tolerance) -> Parity:
    """Run the artifact on every reference case (`references/*.npz`) and every batch size. Raises GateError for a wrong signature."""
    runtime = next(r for r in RUNTIMES.all().values() if r.serve_file == serve_file)
    loaded = runtime.load(directory, threads=1)
    try:
        _require_signature(spec, loaded)
        return _run(loaded, references, tolerance)
    finally:
        loaded.close()
        gc.collect()


def _run(loaded: LoadedModel, references: Path, tolerance: Tolerance) -> Parity:
    checks: list[ParityCheck] = []
    for path in sorted(references.glob("*.npz")):
        if path.stem != "samples":
            case = reference.load(path)
            checks += parity.compare(path.stem, case.outputs, loaded.run(SIGNATURE, case.inputs), tolerance)
    samples = reference.load(references / "samples.npz")
    for size in (*BATCHES, samples.rows):
        inputs, wanted = samples.slice(0, size)
        answer: Tensors = loaded.run(SIGNATURE, inputs)
        checks += parity.compare(f"samples, batch {size}", wanted, answer, tolerance)
    name = next(iter(samples.outputs))
    metric = parity.metric_gate(samples.labels, samples.outputs[name], answer[name]) if name in answer else None
    return Parity(tolerance=tolerance, checks=tuple(checks), metric=metric)


def _require_signature(spec: ModelSpec, loaded: LoadedModel) -> None:
    signature = loaded.signatures.get(SIGNATURE)
    if signature is None:
        raise GateError(f"the exported file has no signature {SIGNATURE!r}, only {sorted(loaded.signatures)}")
    for what, wanted, got in (("inputs", spec.inputs, signature.inputs), ("outputs", spec.outputs, signature.outputs)):
        expected, found = sorted((t.name, t.dtype) for t in wanted), sorted((t.name, t.dtype) for t in got)
        if expected != found:
            raise GateError(f"the exported file's {what} are {found} instead of {expected}")
