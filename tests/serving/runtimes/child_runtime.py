"""Run as a child: holds one framework. Reads pickled (function, arguments) from stdin, writes pickled (result, error) to stdout."""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from serveoff.plugins import LoadedModel
from serveoff.registry import RUNTIMES

LOADED: list[LoadedModel] = []


def load(runtime: str, folder: str, threads: int) -> tuple[int, Any]:
    model = RUNTIMES.load(runtime).load(Path(folder), threads)
    LOADED.append(model)
    return len(LOADED) - 1, dict(model.signatures)


def run(model: int, signature: str, inputs: Any) -> Any:
    return LOADED[model].run(signature, inputs)


def run_together(model: int, calls: list[tuple[str, Any]], workers: int) -> list[Any]:
    """All calls, from `workers` threads at once."""
    with ThreadPoolExecutor(workers) as pool:
        return [f.result() for f in [pool.submit(LOADED[model].run, *call) for call in calls]]


def definitions(model: int) -> dict[str, bytes]:
    found: dict[str, bytes] = LOADED[model].signature_defs  # type: ignore[attr-defined]
    return found


def close(model: int) -> None:
    LOADED[model].close()


def modules() -> set[str]:
    return set(sys.modules)


def torch_threads() -> list[int]:
    """The number of threads that an operation may use in the main thread, and in another one."""
    import torch

    with ThreadPoolExecutor(1) as pool:
        return [torch.get_num_threads(), pool.submit(torch.get_num_threads).result()]


def forget_fast_callables() -> None:
    """A TensorFlow without the private method that we use."""
    import tensorflow as tf

    owner = next(c for c in tf.compat.v1.Session.__mro__ if "_make_callable_from_options" in vars(c))
    delattr(owner, "_make_callable_from_options")


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a framework prints must not mix with the answers
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result: Any = None
        error = None
        try:
            result = globals()[name](*arguments)
        except Exception as raised:  # the test asks for it
            error = (type(raised).__name__, str(raised))
        answers.write(pickle.dumps((result, error)))
        answers.flush()


if __name__ == "__main__":
    main()
