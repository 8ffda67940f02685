"""`python -P -m serveoff.child MODULE ARGUMENTS`: runs `main()` of a stage's module, ours and never a stranger's of the same name."""

from __future__ import annotations

import sys

from serveoff.registry import load_module


def main() -> None:
    _, dotted, *arguments = sys.argv
    module = load_module(dotted)
    if hasattr(module, "__path__"):  # a package: what `python -m` runs of it
        module = load_module(f"{dotted}.__main__")
    sys.argv = [module.__file__ or dotted, *arguments]
    module.main()


if __name__ == "__main__":
    main()
