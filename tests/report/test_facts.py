from __future__ import annotations

from types import SimpleNamespace

import msgspec

from report.facts import facts
from serveoff.contract import Calls, Facts


def calls(threads: int, batch: int, p50_us: float) -> Calls:
    return Calls(threads=threads, batch=batch, calls=5, mean_us=p50_us, p50_us=p50_us, p99_us=p50_us)


def test_each_artifact_has_its_floor_or_a_reason(make: SimpleNamespace) -> None:
    measured = Facts(
        cold_load_s=1.25,
        first_inference_s=0.0123,
        resident_bytes=235_000_000,
        latency=(calls(1, 1, 120), calls(1, 8, 800), calls(4, 1, 60), calls(4, 8, 300)),
    )
    fixed = Facts(cold_load_s=1.0, first_inference_s=0.5, resident_bytes=10**8, latency=(calls(1, 1, 120), calls(4, 1, 60)))
    known = {"keras": measured, "pytorch": fixed, "given": Facts(reason="its runtime failed: no such operator"), "other": None}
    manifests = [msgspec.structs.replace(make.manifest("keras", "tflite"), framework=name, facts=found) for name, found in known.items()]
    table = facts(sorted(manifests, key=lambda manifest: manifest.id))
    shown = {line.values[0].text.split(".")[1]: [value.text for value in line.values[1:]] for line in table.lines}
    assert shown == {
        "keras": ["1.25 s", "12.300", "235 MB", "0.120", "0.800", "0.060", "0.300"],
        "pytorch": ["1.00 s", "500.000", "100 MB", "0.120", "- [3]", "0.060", "- [3]"],
        "given": ["- [1]", *["-"] * 6],
        "other": ["- [2]", *["-"] * 6],
    }
    assert [note.partition(" ")[2] for note in table.notes] == [
        "its runtime failed: no such operator.",
        "its export measured nothing; serveoff export without --no-facts does.",
        "takes batches of 1 only.",
    ]
