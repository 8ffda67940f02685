"""`python -m bench.export_bare MODEL FRAMEWORK FORMAT PRECISION CHECKPOINT DIRECTORY`: a converter's call, and nothing around it.

Builds the model with its weights, converts it, and prints the peak memory in bytes, its own or its child's.
No hash, no comparison, no manifest.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import cast

from serveoff import reference
from serveoff.contract import Framework
from serveoff.plugins import ExportJob
from serveoff.registry import FORMATS, MODELS, load_module


def main() -> None:
    name, framework, kind, precision, checkpoint, directory = sys.argv[1:]
    spec, source = MODELS.load(name), FORMATS.load(kind).sources[cast("Framework", framework)]
    model = load_module(f"models.frameworks.{framework}").build(
        spec, load_module("models.weights").load(Path(checkpoint) / "weights.safetensors")
    )
    samples = reference.load(Path(checkpoint) / f"reference-{framework}" / "samples.npz").inputs
    source.export(ExportJob(spec, cast("Framework", framework), model, precision, Path(directory), samples))
    print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024)


if __name__ == "__main__":
    main()
