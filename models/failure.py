"""What a child could not do, told to its parent in one line of its output; the traceback is in the log."""

from __future__ import annotations

import traceback

import msgspec

from serveoff.contract import Struct
from serveoff.errors import InputError, ServeoffError

_MARK = "@failed "


class Failure(Struct, frozen=True, kw_only=True):
    """An error as the user sees it."""

    message: str
    hint: str


def tell(error: ServeoffError) -> None:
    """In the child."""
    traceback.print_exc()
    said = msgspec.json.encode(Failure(message=error.message, hint=error.hint)).decode()
    print(f"{_MARK}{said}", flush=True)  # noqa: T201 - the parent reads it


def told(line: str) -> Failure | None:
    """In the parent: the failure in a line of the child's output."""
    return msgspec.json.decode(line.removeprefix(_MARK), type=Failure) if line.startswith(_MARK) else None


def error(failure: Failure, log: object) -> InputError:
    return InputError(failure.message, hint=failure.hint or f"the whole log is {log}")
