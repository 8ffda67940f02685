"""The parity gate: the exported file, loaded by the runtime that will serve it, against the source model's recorded answers."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from serveoff import parity, reference
from serveoff.contract import SIGNATURE, Parity, ParityCheck, Tolerance
from serveoff.errors import GateError
from serveoff.plugins import Array, LoadedModel, ModelSpec, Tensors
from serveoff.reference import Reference
from serveoff.registry import RUNTIMES

from . import tolerances

BATCHES = (1, 3, 8)
"""Besides all samples at once. A model that is right at batch 1 and wrong at batch 8 has been seen (AOTInductor with an LSTM)."""

_DECIDING_ROWS = 24
"""How many rows are sent at each batch size where decisions or whole numbers are counted: a share of a few says nothing."""

Run = Callable[[Tensors], Tensors]


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict; for a quantised artifact also its own answers to the samples, and what a server may differ from them."""

    parity: Parity
    own: Reference | None = None
    served: Tolerance | None = None


def judge(  # noqa: PLR0913 - one for each setting
    spec: ModelSpec,
    serve_file: str,
    directory: Path,
    references: Path,
    tolerance: Tolerance,
    *,
    threads: int = 1,
    signature: str = SIGNATURE,
    fixed_batch: int | None = None,
    metric_ratio: float = parity.MINIMUM_METRIC_RATIO,
) -> Judged:
    """Run the artifact on every reference case (`references/*.npz`) and every batch size. Raises GateError for a wrong signature."""
    runtime = next(r for r in RUNTIMES.all().values() if r.serve_file == serve_file)
    loaded = runtime.load(directory, threads)
    try:
        _require_signature(spec, loaded, signature)
        return _run(functools.partial(loaded.run, signature), references, tolerance, fixed_batch, metric_ratio)
    finally:
        loaded.close()
        gc.collect()


def _run(
    run: Run, references: Path, table: Tolerance, fixed_batch: int | None, metric_ratio: float = parity.MINIMUM_METRIC_RATIO
) -> Judged:
    samples = reference.load(references / "samples.npz")
    extent = _extent(samples.outputs)
    tolerance = tolerances.scaled(table, extent)
    quantised = tolerance.minimum_top1 is not None
    counted = quantised or (tolerance.minimum_equal is not None and any(a.dtype.kind != "f" for a in samples.outputs.values()))
    checks = _edges(run, references, table, extent, fixed_batch)
    by_size: dict[int, dict[str, Array]] = {}
    for size in (*BATCHES, samples.rows) if fixed_batch is None else (fixed_batch,):
        least = samples.rows if fixed_batch else _DECIDING_ROWS if counted else 0
        rows = min(max(size, least), samples.rows)
        inputs, wanted = samples.slice(0, rows)
        by_size[size] = _answers(run, inputs, size, rows)
        few = rows < samples.rows  # one of them would move kappa far
        asked = msgspec.structs.replace(tolerance, minimum_kappa=None) if few else tolerance
        checks += parity.compare(f"samples, batch {size}", wanted, by_size[size], asked)
    own = by_size[fixed_batch or samples.rows]
    name = next(iter(samples.outputs))
    labelled = bool((samples.labels >= 0).any())
    metric = parity.metric_gate(samples.labels, samples.outputs[name], own[name], metric_ratio) if labelled and name in own else None
    verdict = Parity(tolerance=tolerance, checks=tuple(checks), metric=metric)
    if not quantised or not verdict.passed:
        return Judged(verdict)
    return Judged(verdict, Reference(samples.inputs, own, samples.labels), _served(by_size, own, tolerance))


def _edges(run: Run, references: Path, tolerance: Tolerance, extent: float, fixed_batch: int | None) -> list[ParityCheck]:
    """The edge inputs. Quantised, only shapes, types and NaNs count: values outside of the calibrated range are cut off by design.

    In float16 whole numbers do not count: they are few here, and after one word that is another one a sentence goes on otherwise.
    """
    if tolerance.minimum_top1 is not None:
        tolerance = msgspec.structs.replace(tolerance, minimum_top1=0.0, minimum_kappa=None, minimum_nearest=None)
    if tolerance.minimum_equal is not None:
        tolerance = msgspec.structs.replace(tolerance, minimum_equal=0.0)
    checks: list[ParityCheck] = []
    for path in sorted(references.glob("*.npz")):
        if path.stem != "samples":
            case = reference.load(path)
            answers = _answers(run, case.inputs, fixed_batch or case.rows, case.rows)
            larger = max(extent, _extent(case.outputs))
            checks += parity.compare(path.stem, case.outputs, answers, tolerances.scaled(tolerance, larger))
    return checks


def _extent(outputs: Tensors) -> float:
    """The largest absolute value of all outputs; 1 where none is a finite number."""
    import numpy as np

    finite = [values[np.isfinite(values)] for values in outputs.values() if values.dtype.kind == "f"]
    return max((float(abs(values).max()) for values in finite if values.size), default=1.0)


def _answers(run: Run, inputs: Tensors, size: int, rows: int) -> dict[str, Array]:
    """The answers to `rows` rows, sent `size` at a time (the last ones may be fewer)."""
    import numpy as np

    parts = [run({k: v[start : start + size] for k, v in inputs.items()}) for start in range(0, rows, size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if len(parts) > 1 else dict(parts[0])


def _served(by_size: dict[int, dict[str, Array]], own: Tensors, tolerance: Tolerance) -> Tolerance:
    """By how much values differ between the batch sizes, and how many whole numbers of a row, which are decisions, do."""
    values = {name for name, array in own.items() if array.dtype.kind == "f"}
    pairs = [(name, part[name], own[name][: len(part[name])]) for part in by_size.values() for name in own]
    return tolerances.served(
        tolerance,
        spread=max((float(abs(part - whole).max()) for name, part, whole in pairs if name in values), default=0.0),
        extent=max((float(own[name].max() - own[name].min()) for name in values), default=0.0),
        other=max((_most_others(part, whole) for name, part, whole in pairs if name not in values), default=None),
    )


def _most_others(part: Array, whole: Array) -> float:
    """The largest share of one row that differs."""
    return float((part != whole).reshape(len(part), -1).mean(axis=1).max())


def _require_signature(spec: ModelSpec, loaded: LoadedModel, name: str) -> None:
    signature = loaded.signatures.get(name)
    if signature is None:
        raise GateError(f"the exported file has no signature {name!r}, only {sorted(loaded.signatures)}")
    for what, wanted, got in (("inputs", spec.inputs, signature.inputs), ("outputs", spec.outputs, signature.outputs)):
        expected, found = sorted((t.name, t.dtype) for t in wanted), sorted((t.name, t.dtype) for t in got)
        if expected != found:
            raise GateError(f"the exported file's {what} are {found} instead of {expected}")
