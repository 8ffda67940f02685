"""Export one artifact into a staging directory, judge it, and write its manifest last. Runs in a process of its own.

It can be repeated by hand: `command.sh` does it; the command that ran is in the manifest.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any, cast

from serveoff import artifacts, host, own_models, parity, process, reference, storage
from serveoff.contract import SIGNATURE, ExportFailure, Manifest, Origin
from serveoff.errors import InputError, ServeoffError
from serveoff.plugins import Artifact, ExportJob, ModelSpec, Source
from serveoff.registry import FORMATS, MODELS, load_module
from serveoff.training import TwinProof

from . import gate, given, tolerances, unchanged

_CELL = ("model", "framework", "format", "precision")
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "SERVEOFF_LITERT_TORCH")
_SCRIPT = """#!/bin/sh
# Repeats this export into the directory that you name (it must not hold one yet), or into a new one.
set -e
out=${{1:-$(mktemp -d)}}
{command} --out "$out"
echo "$out"
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in _CELL:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="an empty directory")
    parser.add_argument("--threads", type=int, default=host.cores(), help="of the gate (default: all cores)")
    parser.add_argument("--metric-ratio", type=float, default=parity.MINIMUM_METRIC_RATIO, help="the least share of the source's accuracy")
    parser.add_argument("--float32", type=Path, help="the same artifact in float32, to make this one from")
    args = parser.parse_args()
    try:
        failure = export(args)
    except ServeoffError as error:
        failure = error.message
    if failure:
        sys.exit(f"@failed {failure}")


def export(args: argparse.Namespace) -> str:
    """Write the artifact into `args.out`. Returns the reason when the gate failed, else an empty string."""
    kind, source = FORMATS.load(args.format), given.source_of(args.format, args.framework)
    own = own_models.taken(args.checkpoint, args.framework) if (args.checkpoint / own_models.FILE).exists() else None
    spec = load_module("models.own.again").spec(args.checkpoint, args.framework) if own else MODELS.load(args.model)
    proof = storage.read(args.checkpoint / own_models.FINISHED, TwinProof)
    references = args.checkpoint / f"reference-{args.framework}"
    samples = reference.load(references / "samples.npz")
    version_dir = args.out / "serve" / "1"
    if version_dir.exists():
        raise InputError(f"{args.out} holds an export already", hint="name another directory")
    version_dir.mkdir(parents=True)

    model = None
    if not args.float32:
        model = load_module("models.own.again").build(args.checkpoint, args.framework) if own else _build(args, spec)
    started = time.monotonic()
    job = ExportJob(spec, args.framework, model, args.precision, version_dir, samples.inputs)
    options = _from_float32(source, job, artifacts.read(args.float32)) if args.float32 else source.export(job)
    export_s = time.monotonic() - started
    signature, fixed_batch = (own.signature, own.fixed_batch or source.fixed_batch) if own else (SIGNATURE, source.fixed_batch)
    tolerance = source.precisions[args.precision]
    tolerance = tolerances.drawn(tolerance) if proof.drawn else tolerance
    judged = gate.judge(
        spec,
        kind.serve_file,
        version_dir,
        references,
        tolerance,
        threads=args.threads,
        signature=signature,
        fixed_batch=fixed_batch,
        metric_ratio=args.metric_ratio,
    )

    verdict = judged.parity
    if judged.own is None:
        shutil.copyfile(references / "samples.npz", args.out / "reference.npz")
    else:
        reference.save(args.out / "reference.npz", judged.own)
    served = artifacts.records(args.out, "serve")
    manifest = Manifest(
        model=args.model,
        framework=cast("Origin", args.framework),
        format=args.format,
        precision=args.precision,
        serve_file=kind.serve_file,
        files=(*served, artifacts.record(args.out, args.out / "reference.npz")),
        inputs=spec.inputs,
        outputs=spec.outputs,
        fixed_batch=fixed_batch,
        signature=signature,
        options=dict(options),
        parity=verdict,
        served=judged.served,
        weights_sha256=own.weights_sha256 if own and proof.parity is None else proof.weights_sha256,
        size_bytes=sum(f.size_bytes for f in served),
        export_s=export_s,
        peak_memory_bytes=_peak_memory_bytes(),
        command=tuple(sys.orig_argv),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        host=host.facts(),
    )
    unchanged.record(args.out, args.checkpoint, args.framework, source, args.float32)
    _write_script(args.out / "command.sh", args)
    if verdict.passed:
        storage.write(args.out / artifacts.MANIFEST, manifest)
        return ""
    storage.write(
        args.out / "failure.json", ExportFailure(artifact_id=manifest.id, reason=verdict.reason, log="export.log", parity=verdict)
    )
    return verdict.reason


def _peak_memory_bytes() -> int:
    """Ours, or that of a compiler that we started, whichever is more."""
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return most * (1 if sys.platform == "darwin" else 1024)


def _build(args: argparse.Namespace, spec: ModelSpec) -> Any:
    weights = load_module("models.weights").load(args.checkpoint / "weights.safetensors")
    return load_module(f"models.frameworks.{args.framework}").build(spec, weights)


def _from_float32(source: Source, job: ExportJob, float32: Artifact) -> dict[str, str | int | float | bool]:
    assert source.from_float32 is not None
    return {**float32.manifest.options, **source.from_float32(job, float32.version_dir), "made_from": float32.manifest.id}


def _write_script(path: Path, args: argparse.Namespace) -> None:
    """The same export again, into a directory that is no artifact of the workspace."""
    environment = [f"{name}={os.environ[name]}" for name in _ENVIRONMENT if name in os.environ]
    what = [word for name in _CELL for word in (f"--{name}", getattr(args, name))]
    what += ["--metric-ratio", str(args.metric_ratio), "--checkpoint", str(args.checkpoint.resolve())]
    command = ["env", *environment, *process.python("export.worker", *what)]
    path.write_text(_SCRIPT.format(command=shlex.join(command)))
    path.chmod(0o755)


if __name__ == "__main__":
    main()
