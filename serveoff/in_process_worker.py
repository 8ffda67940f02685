"""`python -m serveoff.in_process_worker RUNTIME VERSION_DIR REFERENCE SIGNATURE THREADS ROWS`: a model called as a server of ours calls it.

It loads the model, calls it once with `ROWS` rows, and writes a line of JSON (`Loaded`); then it reads lines of `BATCH SECONDS AT_LEAST`
and answers each with one (`Calls`).
"""

from __future__ import annotations

import sys
import time
from itertools import cycle
from pathlib import Path

import msgspec
import psutil

from serveoff import reference
from serveoff.contract import Calls
from serveoff.in_process import Loaded
from serveoff.registry import RUNTIMES

_PAYLOADS = 64
"""As many different inputs as a load has."""


def main() -> None:
    import numpy as np

    runtime, directory, file, signature, threads, rows = sys.argv[1:]
    known = reference.load(Path(file))

    def samples(batch: int) -> list[dict[str, np.ndarray]]:
        return [known.slice(start, start + batch)[0] for start in range(0, max(1, min(_PAYLOADS, known.rows // batch)) * batch, batch)]

    clock = time.perf_counter_ns
    begun = clock()
    model = RUNTIMES.load(runtime).load(Path(directory), int(threads))
    loaded, resident = clock(), psutil.Process().memory_info().rss
    (first, *_), called = samples(int(rows)), clock()
    model.run(signature, first)
    _say(Loaded(load_s=(loaded - begun) / 1e9, first_call_s=(clock() - called) / 1e9, resident_bytes=resident))
    for line in sys.stdin:
        batch, seconds, at_least = line.split()
        payloads = cycle(samples(int(batch)))
        taken: list[int] = []
        end = clock() + int(float(seconds) * 1e9)
        while (called := clock()) < end or len(taken) < int(at_least):
            model.run(signature, next(payloads))
            taken.append(clock() - called)
        p50, p99 = np.percentile(taken, (50, 99)) / 1000
        mean = float(np.mean(taken)) / 1000
        _say(Calls(threads=int(threads), batch=int(batch), calls=len(taken), mean_us=mean, p50_us=float(p50), p99_us=float(p99)))


def _say(what: Loaded | Calls) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
