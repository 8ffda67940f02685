"""Reads and writes the contract's files: strict, versioned, atomic."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from serveoff.errors import InputError

LOOK = "look at the place, its rights and the room on its disk; SERVEOFF_WORKSPACE names another workspace"

T = TypeVar("T", bound=msgspec.Struct)

_CONVERTING = threading.Lock()


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, so that a reader of `path` sees the old file or the whole new one. Raises InputError when it cannot."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror or error}", hint=LOOK) from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` as `written` does."""
    with written(path) as file:
        file.write(data)


def write(path: Path, value: msgspec.Struct) -> None:
    write_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def read(path: Path, kind: type[T]) -> T:
    """Read one file. Raises InputError that names the file and the place in it."""
    try:
        raw: Any = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is not valid JSON: {error}", hint="delete the file and run the stage that writes it again") from None
    newest = next(f.default for f in msgspec.structs.fields(kind) if f.name == "schema")
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if not isinstance(schema, int):
        raise InputError(f"{path} has no schema number", hint="it was not written by serveoff")
    if schema > newest:
        raise InputError(
            f"{path} has schema {schema}, this serveoff reads up to {newest}", hint="use the serveoff that wrote it, or a newer one"
        )
    try:
        return converted(raw, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}", hint="delete the file and run the stage that writes it again") from None


def converted(raw: Any, kind: type[T]) -> T:
    """`raw` as a `kind`, one thread at a time. Raises msgspec.ValidationError.

    msgspec looks through a type when it first meets it, and lets others run meanwhile: a thread that meets the same type takes what is half
    done, and crashes the process.
    """
    with _CONVERTING:
        return msgspec.convert(raw, kind)
