"""`python -m loadtests.floor_worker RUNTIME VERSION_DIR REFERENCE BATCH THREADS`: a model called in process, as a server of ours calls it.

Writes `ready`; then reads a number of seconds a line, and answers each with a line of JSON: calls, and mean, p50 and p99 in microseconds.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle
from pathlib import Path

from serveoff import reference
from serveoff.contract import SIGNATURE
from serveoff.registry import RUNTIMES

_WARM_UP = 50
_PAYLOADS = 64
"""As many different inputs as a load has."""


def main() -> None:
    import numpy as np

    runtime, directory, file, batch, threads = sys.argv[1:]
    known, rows = reference.load(Path(file)), int(batch)
    model = RUNTIMES.load(runtime).load(Path(directory), int(threads))
    starts = range(0, max(1, min(_PAYLOADS, known.rows // rows)) * rows, rows)
    samples = cycle([known.slice(start, start + rows)[0] for start in starts])
    for _ in range(_WARM_UP):
        model.run(SIGNATURE, next(samples))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    clock = time.perf_counter_ns
    for line in sys.stdin:
        taken: list[int] = []
        end = clock() + int(float(line) * 1e9)
        while (called := clock()) < end or not taken:
            model.run(SIGNATURE, next(samples))
            taken.append(clock() - called)
        p50, p99 = np.percentile(taken, (50, 99)) / 1000
        sys.stdout.write(json.dumps({"calls": len(taken), "mean_us": float(np.mean(taken)) / 1000, "p50_us": p50, "p99_us": p99}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
