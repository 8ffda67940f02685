"""The floor: a model called in process, by the code and with the threads that the server has.

`python -m bench.in_process run VERSION_DIR INPUT_FILE THREADS` reads a number of seconds a line and answers each with one line of JSON
in the form of `post.lua`. `python -m bench.in_process make-image DIRECTORY` writes a SavedModel that takes [n, 224, 224, 3] float32 and
returns its mean colour, [n, 3]: little work, many bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bench.figures import percentile
from serveoff.contract import SIGNATURE
from serveoff.registry import RUNTIMES


def run(version_dir: str, input_file: str, threads: str) -> None:
    import numpy as np

    model = RUNTIMES.load("savedmodel").load(Path(version_dir), int(threads))
    with np.load(input_file) as file:
        inputs = {name: file[name] for name in file.files}
    clock = time.perf_counter_ns
    for _ in range(200):
        model.run(SIGNATURE, inputs)
    print("ready", flush=True)
    for line in sys.stdin:
        taken: list[int] = []
        start = clock()
        end = start + int(float(line) * 1e9)
        while (called := clock()) < end:
            model.run(SIGNATURE, inputs)
            taken.append(clock() - called)
        elapsed_s = (clock() - start) / 1e9
        taken.sort()
        figures = {"requests": len(taken), "seconds": elapsed_s, "refused": 0, "broken": 0}
        print(json.dumps({**figures, "p50_us": percentile(taken, 0.5) / 1e3, "p99_us": percentile(taken, 0.99) / 1e3}), flush=True)


def make_image(directory: str) -> None:
    import tensorflow as tf

    class MeanColour(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32, "image")])  # type: ignore[untyped-decorator]
        def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"colour": tf.reduce_mean(image, axis=[1, 2])}

    module = MeanColour()
    tf.saved_model.save(module, directory, signatures={SIGNATURE: module.__call__})


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(*sys.argv[2:])
    else:
        make_image(*sys.argv[2:])
