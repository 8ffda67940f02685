"""One loaded version of a model, and how its calls are run."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from serveoff.contract import DType

from .batching import BatchOptions, Queue, Scheduler
from .metrics import Metrics
from .status import Code, ServingError, failed_precondition, from_exception, invalid

if TYPE_CHECKING:
    from serveoff.plugins import LoadedModel, Signature, Tensors

DEFAULT_SIGNATURE = "serving_default"

INLINE_BELOW_S = 0.0005
"""Calls shorter than this run on the event loop: a hop to a thread and back costs 100 us or more, and others wait no longer than this."""

INLINE_BATCH_BELOW_S = 0.001
"""The same for a batch, which is several calls: a limit that batches pass back and forth costs more than either way."""

_NAMES = {np.dtype(name): name for name in get_args(DType) if name != "string"}
"""numpy computes a dtype's name anew each time, which takes longer than the rest of the check."""

_TIMED_OUT = "Timed out waiting for notification"
_BAN_S = 1.0
_NEVER_INLINE_S = 0.01
"""A call that waits for something else uses no CPU time, and must not hold up the event loop all the same."""

_PATIENCE = 3
"""So many slow calls in a row end the belief that a size is quick; one alone may be the machine's noise."""


@dataclass(slots=True)
class Pace:
    """Learns up to which input size calls are quick. Only sizes seen to be quick count; anything larger goes to a thread."""

    limit_s: float = INLINE_BELOW_S
    quick_bytes: int = -1
    strikes: int = 0
    learns_from: float = 0.0

    def quick(self, size_bytes: int) -> bool:
        return size_bytes <= self.quick_bytes

    def was_here(self, size_bytes: int, spent: Spent) -> None:
        """After a call on the event loop. Too many long ones in a row end the belief, for a while."""
        if spent.is_below(self.limit_s):
            self.strikes = 0
            return
        self.strikes += 1
        if self.strikes >= _PATIENCE:
            self.quick_bytes, self.strikes, self.learns_from = size_bytes - 1, 0, time.monotonic() + _BAN_S

    def was_in_thread(self, size_bytes: int, spent: Spent) -> None:
        if spent.is_below(self.limit_s) and size_bytes > self.quick_bytes and time.monotonic() >= self.learns_from:
            self.quick_bytes = size_bytes


class Spent:
    """What a call used, from here on. CPU time decides: the clock also shows other processes and the wait for Python's lock."""

    __slots__ = ("_clock", "_cpu")

    def __init__(self) -> None:
        self._cpu = time.thread_time()
        self._clock = time.perf_counter()

    def is_below(self, limit_s: float) -> bool:
        return time.thread_time() - self._cpu < limit_s and time.perf_counter() - self._clock < _NEVER_INLINE_S


@dataclass(frozen=True, slots=True)
class Means:
    """What all servables of a server share."""

    threads: ThreadPoolExecutor
    metrics: Metrics
    scheduler: Scheduler | None = None
    """None when batching is off."""


@dataclass(slots=True, eq=False)
class Servable:
    """A version that answers requests. `close` waits until the last of them is done."""

    name: str
    version: int
    model: LoadedModel
    runtime: str
    means: Means
    batching: BatchOptions | None = None
    definitions: Mapping[str, bytes] = field(default_factory=dict)
    """Serialized SignatureDefs, where the model's file holds them."""
    _queues: dict[str, Queue] = field(default_factory=dict)
    _paces: dict[str, Pace] = field(default_factory=dict)
    _types: dict[str, dict[str, str]] = field(default_factory=dict)
    _in_flight: int = 0
    _idle: threading.Condition = field(default_factory=threading.Condition)

    def signature(self, name: str) -> Signature | None:
        return self.model.signatures.get(name or DEFAULT_SIGNATURE)

    def input_types(self, name: str) -> dict[str, str]:
        """Input -> dtype, sorted by name, of an existing signature."""
        types = self._types.get(name)
        if types is None:
            specs = sorted(self.model.signatures[name].inputs, key=lambda spec: spec.name)
            types = self._types[name] = {spec.name: spec.dtype for spec in specs}
        return types

    def run_if_quick(self, signature: str, inputs: Tensors, api: str = "Predict") -> Tensors | None:
        """The outputs, where the call is known to be short; None where it has to wait for a thread or a batch. Raises ServingError."""
        if self.batching is not None:
            return None
        pace = self._paces.get(signature)
        size = sum([array.nbytes for array in inputs.values()])
        if pace is None or size > pace.quick_bytes:
            return None
        start = time.perf_counter()
        outputs = self._run_on_loop(signature, inputs, pace, size)
        self.means.metrics.runtime(self.name, api, time.perf_counter() - start)
        return outputs

    def submit(self, signature: str, inputs: Tensors, timeout_s: float | None) -> asyncio.Future[Tensors]:
        """The outputs to come, from a thread or a batch. Raises ServingError when there is no room.

        At the time limit the future is cancelled (`outcome` makes DEADLINE_EXCEEDED of that); a call that runs already runs on, unheard.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Tensors]
        if timeout_s is not None and timeout_s <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, _TIMED_OUT)
        if self.batching is not None:
            future = self._queue(signature).submit(inputs)
        else:
            pace = self._paces.setdefault(signature, Pace())
            size = sum([array.nbytes for array in inputs.values()])
            future = loop.run_in_executor(self.means.threads, self._run_in_thread, signature, inputs, pace, size)
        if timeout_s is not None:
            timer = loop.call_later(timeout_s, future.cancel)
            future.add_done_callback(lambda _: timer.cancel())
        return future

    async def run(self, signature: str, inputs: Tensors, timeout_s: float | None, api: str = "Predict") -> Tensors:
        """All outputs of the signature. Raises ServingError."""
        start = time.perf_counter()
        quick = self.run_if_quick(signature, inputs, api)
        if quick is not None:
            return quick
        future = self.submit(signature, inputs, timeout_s)
        await asyncio.wait((future,))
        return self.outcome(future, start, api)

    def outcome(self, future: asyncio.Future[Tensors], start: float, api: str = "Predict") -> Tensors:
        """The result of a done future of `submit`, counted since `start`. Raises ServingError."""
        try:
            outputs = future.result()
        except asyncio.CancelledError:
            raise ServingError(Code.DEADLINE_EXCEEDED, _TIMED_OUT) from None
        self.means.metrics.runtime(self.name, api, time.perf_counter() - start)
        return outputs

    async def _run_alone(self, signature: str, inputs: Tensors) -> Tensors:
        pace = self._paces.setdefault(signature, Pace(INLINE_BATCH_BELOW_S))
        size = sum(array.nbytes for array in inputs.values())
        if pace.quick(size):
            return self._run_on_loop(signature, inputs, pace, size)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.means.threads, self._run_in_thread, signature, inputs, pace, size)

    def _queue(self, signature: str) -> Queue:
        queue = self._queues.get(signature)
        if queue is None:
            assert self.batching is not None
            assert self.means.scheduler is not None
            run: Any = functools.partial(self._run_alone, signature)
            queue = self._queues[signature] = Queue(self.means.scheduler, self.batching, run)
        return queue

    def run_here(self, signature: str, inputs: Tensors) -> Tensors:
        """The call itself, on the calling thread. Raises ServingError."""
        with self._idle:
            self._in_flight += 1
        try:
            return self.model.run(signature, inputs)
        except Exception as error:
            raise from_exception(error) from error
        finally:
            with self._idle:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.notify_all()

    def _run_on_loop(self, signature: str, inputs: Tensors, pace: Pace, size: int) -> Tensors:
        spent = Spent()
        outputs = self.run_here(signature, inputs)
        pace.was_here(size, spent)
        return outputs

    def _run_in_thread(self, signature: str, inputs: Tensors, pace: Pace, size: int) -> Tensors:
        spent = Spent()
        outputs = self.run_here(signature, inputs)
        pace.was_in_thread(size, spent)
        return outputs

    def close(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not self._in_flight)
        self.model.close()


def check_inputs(signature: Signature, inputs: Tensors) -> None:
    """Names and types as TF Serving checks them before a run (predict_util.cc, PreProcessPrediction). Raises ServingError."""
    expected = {spec.name: spec for spec in signature.inputs}
    if len(inputs) != len(expected):
        raise invalid(_size_mismatch(set(inputs), set(expected)))
    for index, (name, spec) in enumerate(expected.items()):
        array = inputs.get(name)
        if array is None:
            alias = next(n for n in sorted(inputs) if n not in expected)
            names = ",".join(sorted(expected))
            raise invalid(f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set {{{names}}}.")
        given = _NAMES.get(array.dtype) or ("string" if array.dtype.kind in "OSU" else array.dtype.name)
        if given != spec.dtype:
            raise invalid(f"Expects arg[{index}] to be {_printed(spec.dtype)} but {_printed(given)} is provided")


def _printed(dtype: str) -> str:
    return {"float32": "float", "float64": "double", "float16": "half"}.get(dtype, dtype)


def _size_mismatch(given: set[str], expected: set[str]) -> str:
    def listed(names: set[str]) -> str:
        return "{" + ",".join(sorted(names)) + "}"

    return (
        f"input size does not match signature: {len(given)}!={len(expected)} len({listed(given)}) != len({listed(expected)}). "
        f"Sent extra: {listed(given - expected)}. Missing but required: {listed(expected - given)}."
    )


def filter_outputs(signature: Signature, output_filter: list[str]) -> list[str]:
    """The names to return; an empty filter means all of them. Raises ServingError."""
    known = {spec.name for spec in signature.outputs}
    if not output_filter:
        return sorted(known)
    for position, name in enumerate(output_filter):
        if name not in known:
            names = ",".join(sorted(known))
            raise invalid(f"output tensor alias not found in signature: {name} Outputs expected to be in the set {{{names}}}.")
        if name in output_filter[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return output_filter


def signature_of(servable: Servable, name: str) -> Signature:
    """For gRPC's Predict. Raises ServingError (FAILED_PRECONDITION) for an unknown name."""
    signature = servable.signature(name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
    return signature
