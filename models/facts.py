"""How large a model is: its parameters, and the multiply-accumulates of one row. PyTorch counts them without computing anything.

Run as a program, it counts the models that it is given; the command line asks it in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from serveoff import host, process
from serveoff.errors import ServeoffError
from serveoff.registry import MODELS
from serveoff.workspace import Workspace

TIMEOUT_S = 120.0


class Facts(msgspec.Struct, frozen=True):
    """`macs`: multiply-accumulates of matrix products and convolutions for one row."""

    parameters: int
    macs: int


def facts(names: Sequence[str], workspace: Workspace) -> dict[str, Facts]:
    """By name, of those that have a build for PyTorch; nothing where PyTorch is not installed."""
    counted = [name for name in names if "pytorch" in MODELS.load(name).builds]
    if not counted or host.installed("torch") is None:
        return {}
    command = process.python("models.facts", *counted)
    child = subprocess.run(
        command, env=process.environment(workspace.root, {}), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if child.returncode != 0:
        raise ServeoffError(f"the models could not be counted: {child.stderr.strip()[-300:]}")
    return msgspec.json.decode(child.stdout, type=dict[str, Facts])


def _count(name: str) -> Facts:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    spec = MODELS.load(name)
    counter: Any = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        model = spec.builds["pytorch"]().eval()
        model(*(torch.zeros((1, *(size or 1 for size in t.shape[1:])), dtype=getattr(torch, t.dtype)) for t in spec.inputs))
    return Facts(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)  # a multiplication and an addition


def main() -> None:
    sys.stdout.buffer.write(msgspec.json.encode({name: _count(name) for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
