"""`python -m export.facts ARTIFACT OWNER`: what a finished artifact takes in a process of its own. Writes `@facts ` and JSON.

One process for each number of threads, one after the other: TensorFlow keeps the first number that it is told.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from serveoff import artifacts, host
from serveoff.contract import Calls, Facts
from serveoff.in_process import InProcess
from serveoff.plugins import Artifact

SAID = "@facts "
BATCHES = (1, 8)
_CALLS_S = 0.1
_LEAST = 2
"""Of a large model: some calls take seconds."""


def main() -> None:
    directory, owner = map(Path, sys.argv[1:])
    facts = measure(artifacts.read(directory), owner, directory / "runtime.log")
    sys.stdout.write(f"{SAID}{msgspec.json.encode(facts).decode()}\n")


def measure(artifact: Artifact, owner: Path, log: Path) -> Facts:
    facts, fixed = Facts(), artifact.manifest.fixed_batch
    for threads in sorted({1, host.cores()}):
        with InProcess(artifact, threads, owner, log) as one:
            loaded = one.loaded()
            calls = [_calls(one, batch) for batch in ((fixed,) if fixed else BATCHES)]
        if loaded is None or one.reason:
            return Facts(reason=one.reason)
        latency = (*facts.latency, *(each for each in calls if each is not None))
        if threads == 1:
            facts = Facts(cold_load_s=loaded.load_s, first_inference_s=loaded.first_call_s, resident_bytes=loaded.resident_bytes)
        facts = msgspec.structs.replace(facts, latency=latency)
    return facts


def _calls(one: InProcess, batch: int) -> Calls | None:
    one.call(batch, _CALLS_S / 2)
    return one.call(batch, _CALLS_S, _LEAST)


if __name__ == "__main__":
    main()
