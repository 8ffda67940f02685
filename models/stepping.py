"""One framework's training steps, in a process that stays up: it prepares a model, and takes steps when it is told to.

It is told over a connection of multiprocessing's: a `Prepare`, a number of steps, or nothing more. It answers each with what was made, the
seconds of each step, or a sentence about what went wrong.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from serveoff.errors import ServeoffError
from serveoff.plugins import ModelSpec
from serveoff.registry import MODELS, load_module

from . import weights as weight_files
from .steps import Options, step_of


@dataclass(frozen=True, slots=True)
class Prepare:
    """A model to take steps of. The framework that is first told makes `weights`; the others read them."""

    model: str
    batch: int
    seed: int
    weights: Path
    options: Options


@dataclass(frozen=True, slots=True)
class Prepared:
    mode: str
    device: str
    parameters: int
    first_loss: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--framework", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--connection", type=int, required=True, help="the file descriptor of the connection")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # libraries have threads that no setting reaches: none gets another core
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    module = load_module(f"models.steppers.{args.framework}")
    module.limit(args.threads)
    with Connection(args.connection) as told:
        stepper: Any = None
        while (message := _next(told)) is not None:
            try:
                if isinstance(message, Prepare):
                    stepper = None
                    gc.collect()  # the last model's memory
                    stepper, answer = _prepare(message, module, args.framework)
                    told.send(answer)
                else:
                    told.send([_timed(stepper) for _ in range(message)])
            except ServeoffError as error:
                told.send(error)
            except Exception as error:
                told.send(ServeoffError(f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"))


def _next(told: Connection) -> Any:
    try:
        return told.recv()
    except EOFError:
        return None


def _prepare(told: Prepare, module: Any, framework: str) -> tuple[Any, Prepared]:
    spec: ModelSpec = MODELS.load(told.model)
    form = spec.trained_as() if spec.trained_as else spec
    if not told.weights.exists():
        weight_files.save(told.weights, load_module(f"models.trainers.{framework}").initial(form, told.seed))
    weights = weight_files.load(told.weights)
    stepper = module.Stepper(step_of(form, told.batch, told.seed, told.options), weights)
    parameters = sum(int(value.size) for value in weights.values())
    return stepper, Prepared(stepper.mode, stepper.device, parameters, _finite(stepper.step()))


def _timed(stepper: Any) -> float:
    started = time.perf_counter()
    loss = stepper.step()
    took_s = time.perf_counter() - started
    _finite(loss)
    return took_s


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise ServeoffError(f"the loss is {loss}")
    return loss


if __name__ == "__main__":
    main()
