"""The console script `serveoff-model-server`: the embedded server under its installed name."""

from __future__ import annotations

from serveoff.registry import load_module


def main() -> None:
    load_module("serving.embedded.__main__").main()
