"""Server-side batching: one queue per version and signature, one set of batch slots for the whole server.

The rules are those of TF Serving's SharedBatchScheduler and BatchingSession. A batch runs when it is full, or when its oldest task has
waited long enough and a slot is free. Everything here happens on the event loop; only the model's own run may go to a thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .batch_tensors import join, row_count, split
from .status import Code, ServingError, from_exception, invalid

if TYPE_CHECKING:
    from serveoff.plugins import Tensors

Run = Callable[[Any], Awaitable[Any]]
"""Inputs of a whole batch -> its outputs. Raises ServingError."""

_FULL = "The batch scheduling queue to which this task was submitted is full"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The values of a BatchingParameters file; the defaults are TF Serving's."""

    max_batch_size: int = 1000
    timeout_s: float = 0.0
    max_enqueued_batches: int = 10
    slots: int = 1
    allowed_sizes: tuple[int, ...] = ()
    pad_variable_length: bool = False
    split_large: bool = False
    max_execution_size: int = 0

    @classmethod
    def from_proto(cls, proto: Any, cpus: int) -> BatchOptions:
        """Raises ServingError (INVALID_ARGUMENT) for sizes that contradict each other."""

        def given(name: str, default: int) -> int:
            return int(getattr(proto, name).value) if proto.HasField(name) else default

        largest = given("max_batch_size", 1000)
        splitting = proto.enable_large_batch_splitting.value
        options = cls(
            max_batch_size=largest,
            timeout_s=given("batch_timeout_micros", 0) / 1e6,
            max_enqueued_batches=given("max_enqueued_batches", 10),
            slots=given("num_batch_threads", cpus),
            allowed_sizes=tuple(proto.allowed_batch_sizes),
            pad_variable_length=proto.pad_variable_length_inputs,
            split_large=splitting,
            max_execution_size=given("max_execution_batch_size", largest) if splitting else largest,
        )
        options.check()
        return options

    @property
    def batch_size(self) -> int:
        """The most rows that run together."""
        return self.max_execution_size or self.max_batch_size

    def check(self) -> None:
        if min(self.max_batch_size, self.max_enqueued_batches, self.slots, self.batch_size) < 1:
            raise invalid("batch sizes, max_enqueued_batches and num_batch_threads must be positive")
        sizes = self.allowed_sizes
        if list(sizes) != sorted(set(sizes)):
            raise invalid("allowed_batch_sizes entries must be monotonically increasing")
        if sizes and sizes[-1] != self.batch_size:
            name = "max_execution_batch_size" if self.split_large else "max_batch_size"
            raise invalid(f"Last entry in allowed_batch_sizes must match {name}; last entry was {sizes[-1]}; expected {self.batch_size}")

    def padded(self, rows: int) -> int:
        """The allowed size that `rows` are filled up to."""
        return next((size for size in self.allowed_sizes if size >= rows), rows)


@dataclass(slots=True, eq=False)
class _Task:
    inputs: Tensors
    rows: int
    done: asyncio.Future[Any]


@dataclass(slots=True, eq=False)
class _Batch:
    born: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


class Queue:
    """The waiting calls of one signature of one version."""

    def __init__(self, scheduler: Scheduler, options: BatchOptions, run: Run) -> None:
        self._scheduler = scheduler
        self._options = options
        self._run = run
        self._batches: deque[_Batch] = deque()

    def submit(self, inputs: Tensors) -> asyncio.Future[Any]:
        """The outputs for `inputs` to come, computed together with others. Raises ServingError at once when they do not fit."""
        rows, options = row_count(inputs), self._options
        if rows == 0:
            return asyncio.ensure_future(self._run(inputs))
        if rows > options.max_batch_size:
            kind = "input batch size" if options.split_large else "batch size"
            raise invalid(f"Task size {rows} is larger than maximum {kind} {options.max_batch_size}")
        if rows <= options.batch_size:
            return self._enqueue([(inputs, rows)])[0]
        step = options.batch_size
        pieces = [{name: array[start : start + step] for name, array in inputs.items()} for start in range(0, rows, step)]
        futures = self._enqueue([(piece, row_count(piece)) for piece in pieces])
        return asyncio.ensure_future(self._joined(futures))

    @staticmethod
    async def _joined(futures: list[asyncio.Future[Any]]) -> Any:
        return join(await asyncio.gather(*futures), pad=False)

    def _enqueue(self, pieces: list[tuple[Tensors, int]]) -> list[asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        tasks = [_Task(inputs, rows, loop.create_future()) for inputs, rows in pieces]
        if not self._fits(tasks):
            raise ServingError(Code.UNAVAILABLE, _FULL)
        for task in tasks:
            self._place(task, loop.time())
        self._scheduler.wake(self)
        return [task.done for task in tasks]

    def _fits(self, tasks: list[_Task]) -> bool:
        needed, free = 0, self._open_rows()
        for task in tasks:
            if task.rows > free:
                needed, free = needed + 1, self._options.batch_size
            free -= task.rows
        return len(self._batches) + needed <= self._options.max_enqueued_batches

    def _open_rows(self) -> int:
        last = self._batches[-1] if self._batches else None
        return 0 if last is None or last.closed else self._options.batch_size - last.rows

    def _place(self, task: _Task, now: float) -> None:
        if not self._batches or task.rows > self._open_rows():
            if self._batches:
                self._batches[-1].closed = True
            self._batches.append(_Batch(now))
        batch = self._batches[-1]
        batch.tasks.append(task)
        batch.rows += task.rows
        batch.closed = batch.rows >= self._options.batch_size

    def due_in(self, now: float) -> float | None:
        """Seconds until the oldest batch may run; None when there is none."""
        if not self._batches:
            return None
        first = self._batches[0]
        return 0.0 if first.closed else max(0.0, first.born + self._options.timeout_s - now)

    def take(self) -> _Batch:
        return self._batches.popleft()

    async def process(self, batch: _Batch) -> None:
        """Run a batch and hand out the answers, or the error, to all its calls."""
        tasks = [task for task in batch.tasks if not task.done.done()]
        if not tasks:
            return
        rows = [task.rows for task in tasks]
        options = self._options
        try:
            inputs = join([task.inputs for task in tasks], pad=options.pad_variable_length, rows=options.padded(sum(rows)))
            answers = split(await self._run(inputs), rows, options.padded(sum(rows)))
        except Exception as error:
            failure = from_exception(error)
            for task in tasks:
                if not task.done.done():
                    task.done.set_exception(ServingError(failure.code, failure.message))
            return
        for task, answer in zip(tasks, answers, strict=True):
            if not task.done.done():
                task.done.set_result(answer)


class Scheduler:
    """Gives batch slots to queues, in turn."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[Queue] = deque()
        self._starting = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    def wake(self, queue: Queue) -> None:
        """`queue` has a new task. Batches start on the next turn of the loop, so that what arrived together runs together."""
        if queue not in self._waiting:
            self._waiting.append(queue)
        self._start_soon()

    def _start_soon(self) -> None:
        if not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._starting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, soonest = loop.time(), None
        for _ in range(len(self._waiting)):
            queue = self._waiting.popleft()
            while (wait := queue.due_in(now)) == 0.0 and self._free:
                self._free -= 1
                task = loop.create_task(self._work(queue, queue.take()))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            if wait is not None:
                self._waiting.append(queue)
                if wait > 0:
                    soonest = wait if soonest is None else min(wait, soonest)
        if soonest is not None and self._free:
            self._timer = loop.call_later(soonest, self._start)

    async def _work(self, queue: Queue, batch: _Batch) -> None:
        try:
            await queue.process(batch)
        finally:
            self._free += 1
            if self._waiting:
                self._start_soon()
