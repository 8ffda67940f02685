"""Every request of a load process: compact arrays, no rounding, nothing dropped. And a uniform sample of its answers."""

from __future__ import annotations

import math
import random
from array import array

from serveoff.results import ErrorClass

from ..handover import Answer, Answers, Columns
from .calls import CallError


class Recorder:
    """31 bytes a request (none at all without `keep`). Outcome 0 is success, others are error classes from 1."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._due, self._sent, self._done = array("q"), array("q"), array("q")
        self._outcome, self._user, self._bytes = array("B"), array("H"), array("I")
        self._codes: dict[ErrorClass, int] = {}
        self.first_errors: dict[ErrorClass, CallError] = {}
        """Error class -> the first error of it, in the order of the outcome codes."""

    def outcome_of(self, meaning: ErrorClass, error: CallError) -> int:
        if meaning not in self._codes:
            self._codes[meaning] = len(self._codes) + 1
            self.first_errors[meaning] = error
        return self._codes[meaning]

    def add(self, due_ns: int, sent_ns: int, done_ns: int, outcome: int, user: int, reply_bytes: int) -> None:
        if not self._keep:
            return
        self._due.append(due_ns)
        self._sent.append(sent_ns)
        self._done.append(done_ns)
        self._outcome.append(outcome)
        self._user.append(user)
        self._bytes.append(reply_bytes)

    def good_since(self, moment_ns: int) -> list[int]:
        """The latencies, in nanoseconds, of the successful replies that have come since."""
        found = []
        for index in range(len(self._done) - 1, -1, -1):  # in order of completion
            if self._done[index] < moment_ns:
                break
            if self._outcome[index] == 0:
                found.append(self._done[index] - self._due[index])
        return found

    def columns(self) -> Columns:
        return Columns(
            due_ns=self._due.tobytes(),
            sent_ns=self._sent.tobytes(),
            done_ns=self._done.tobytes(),
            outcome=self._outcome.tobytes(),
            user=self._user.tobytes(),
            reply_bytes=self._bytes.tobytes(),
        )


class AnswerSample:
    """A uniform sample of `size` answers out of a stream of unknown length, a random number per kept answer only (Li 1994, algorithm L)."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._random = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._kept: list[Answer] = []
        self._seen = 0
        self._next = 0
        self._weight = 1.0

    def offer(self, payload: int, reply: bytes) -> None:
        if self._seen == self._next:
            self._keep(Answer(payload=payload, reply=reply))
        self._seen += 1

    def answers(self) -> Answers:
        return Answers(answers=tuple(self._kept))

    def _keep(self, answer: Answer) -> None:
        if len(self._kept) < self._size:
            self._kept.append(answer)
        else:
            self._kept[self._random.randrange(self._size)] = answer
        if len(self._kept) < self._size:
            self._next += 1
            return
        self._weight *= math.exp(math.log(1 - self._random.random()) / self._size)
        self._next += 1 + math.floor(math.log(1 - self._random.random()) / math.log1p(-self._weight))
