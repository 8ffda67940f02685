"""Finds plug-ins by file name and imports one on use. No list is kept by hand."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from serveoff.errors import ServeoffError, UsageError

if TYPE_CHECKING:
    from serveoff.plugins import Format, Launcher, ModelSpec, Runtime, Server, WireProtocol

T = TypeVar("T")

SMALL = "@small"

_HERE = Path(__file__).resolve().parent
_IN_WHEEL = (_HERE / "models").is_dir()
CODE_ROOT = _HERE if _IN_WHEEL else _HERE.parent
"""The directory that holds the stage packages: the checkout, or `serveoff/` inside a wheel."""


def module_name(dotted: str) -> str:
    """The importable name of a module of ours: `export.worker`, or `serveoff.export.worker` where we are installed as a wheel."""
    return f"serveoff.{dotted}" if _IN_WHEEL and not dotted.startswith("serveoff.") else dotted


def load_module(dotted: str) -> ModuleType:
    """Import a stage's module, and make sure it is ours: a stranger's folder may hold a `models/` too."""
    if not _IN_WHEEL and str(CODE_ROOT) not in sys.path[:1]:
        sys.path.insert(0, str(CODE_ROOT))
    module = importlib.import_module(module_name(dotted))
    found = Path(module.__file__ or "").resolve()
    if not found.is_relative_to(CODE_ROOT):
        raise ServeoffError(
            f"the package {dotted.split('.', maxsplit=1)[0]!r} was imported from {found.parent}, which is not serveoff's",
            hint="start serveoff from another directory, or take that directory off PYTHONPATH",
        )
    return module


def suggestion(name: str, known: list[str]) -> str:
    """A hint for an unknown name: the closest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


class Registry(Generic[T]):
    """The plug-ins of one kind: the modules of `package`, each with one object called `attribute`."""

    def __init__(self, kind: str, package: str, attribute: str) -> None:
        self.kind = kind
        self._package = package
        self._attribute = attribute

    @cached_property
    def names(self) -> list[str]:
        folder = CODE_ROOT.joinpath(*self._package.split("."))
        return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))

    def load(self, name: str) -> T:
        """Import the plug-in `name`. Raises UsageError for an unknown name."""
        if name not in self.names:
            raise UsageError(f"unknown {self.kind} {name!r}", hint=suggestion(name, self.names))
        plugin: Any = getattr(load_module(f"{self._package}.{name}"), self._attribute)
        return plugin  # type: ignore[no-any-return]

    def all(self) -> dict[str, T]:
        return {name: self.load(name) for name in self.names}


class Models(Registry["ModelSpec"]):
    """The models; `NAME@SIZE` is one of them at another size than its default. `NAME@small` (of `proper`) is the one to try things with."""

    def load(self, name: str) -> ModelSpec:
        """Raises UsageError for an unknown name, and for a size that the model does not have."""
        plain, at, size = name.partition("@")
        spec = super().load(plain)
        if not at:
            return spec
        if spec.sizes is None:
            raise UsageError(f"{plain} comes in one size, not {name!r}", hint=f"name it {plain}")
        sizes = spec.sizes
        if not (size.isascii() and size.isdigit() and sizes.smallest <= int(size) <= sizes.largest):
            says = f"its size is the {sizes.what}: {sizes.smallest} to {sizes.largest}, or {plain}{SMALL}"
            raise UsageError(f"{name!r} is no size of {plain}", hint=says)
        return sizes.at(int(size))

    def proper(self, name: str) -> str:
        """The one name of a model: with its size in digits, and without it where that is the default. Raises UsageError as `load` does."""
        plain, _, size = name.partition("@")
        if name.endswith(SMALL):
            sizes = super().load(plain).sizes
            return f"{plain}@{sizes.small}" if sizes else plain
        self.load(name)
        sizes = super().load(plain).sizes
        return plain if not size or sizes is None or int(size) == sizes.default else f"{plain}@{int(size)}"


MODELS = Models("model", "models.zoo", "MODEL")
FORMATS: Registry[Format] = Registry("format", "export.formats", "FORMAT")
RUNTIMES: Registry[Runtime] = Registry("runtime", "serving.embedded.runtimes", "RUNTIME")
SERVERS: Registry[Server] = Registry("server", "serving.servers", "SERVER")
LAUNCHERS: Registry[Launcher] = Registry("launcher", "serving.launchers", "LAUNCHER")
PROTOCOLS: Registry[WireProtocol] = Registry("protocol", "loadtests.protocols", "PROTOCOL")
PROFILES: Registry[Any] = Registry("profile", "loadtests.profiles", "PROFILE")
WITNESSES: Registry[Any] = Registry("witness", "loadtests.witnesses", "WITNESS")
