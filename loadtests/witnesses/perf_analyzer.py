"""perf_analyzer (of Triton): a closed loop over TF Serving's gRPC and TorchServe's REST, which it speaks as a client of theirs.

Its Debian builds are in the wheel tritonclient 2.51; newer ones need a newer glibc.
"""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

from serveoff import reference
from serveoff.contract import Manifest
from serveoff.errors import ServeoffError
from serveoff.plugins import Artifact
from serveoff.results import Cell

from . import Row, Seen, Witness, require, run

_KINDS = {"tfs_grpc": ("tfserving", "grpc"), "torchserve_rest": ("torchserve", "http")}
_WINDOWS = 3
"""It calls nothing stable that it has not seen three times, and says nothing of what it does not call stable."""
_ANYTHING_IS_STABLE = "1000"


class PerfAnalyzer:
    program = "perf_analyzer"
    install = "pip install tritonclient==2.51.0 nvidia-cuda-runtime-cu12, apt-get install libb64-0d, and LD_LIBRARY_PATH on libcudart.so.12"
    rows = "TF Serving's gRPC or TorchServe's REST, a closed loop"
    otherwise = "all its gRPC calls share one connection; to TorchServe it sends the payload as a form's file, which it reads each time"

    def fits(self, cell: Cell) -> bool:
        if cell.profile.name != "closed" or cell.protocol not in _KINDS:
            return False
        return cell.protocol == "torchserve_rest" or _plain(cell.manifest)

    def repeat(self, row: Row) -> Seen:
        kind, transport = _KINDS[row.cell.protocol]
        users = int(row.cell.profile.options["users"])
        inputs, report = row.work / "perf_analyzer.json", row.work / "perf_analyzer.csv"
        inputs.write_text(json.dumps({"data": _files(row) if kind == "torchserve" else _tensors(row)}))
        report.unlink(missing_ok=True)
        window_ms = max(1000, round(1000 * row.seconds / _WINDOWS))
        command = [require(self.program, self.install), "-m", row.endpoint.model_name, "--service-kind", kind, "-i", transport]
        command += ["-u", f"{row.endpoint.host}:{row.endpoint.port}", "-b", "1", "--concurrency-range", f"{users}:{users}", "--sync"]
        command += ["--model-signature-name", row.cell.manifest.signature] if kind == "tfserving" else []
        command += ["-p", str(window_ms), "-r", str(_WINDOWS), "-s", _ANYTHING_IS_STABLE, "--input-data", str(inputs), "-f", str(report)]
        run(command, _WINDOWS * window_ms / 1000, chatters=kind == "torchserve")
        return read(report, _WINDOWS * window_ms / 1000, 1 if transport == "grpc" else users)


def read(report: Path, seconds: float, connections: int) -> Seen:
    """Its CSV report (microseconds). Raises ServeoffError where it has none to give."""
    lines = list(csv.DictReader(report.read_text().splitlines())) if report.exists() else []
    try:
        rps, p50_us, p99_us = (float(lines[0][name]) for name in ("Inferences/Second", "p50 latency", "p99 latency"))
    except (IndexError, KeyError, ValueError):
        raise ServeoffError(f"perf_analyzer left no report that can be read: {report}") from None
    return Seen(round(rps * seconds), rps, p50_us, p99_us, connections=connections)


def _plain(manifest: Manifest) -> bool:
    """One row a request, of numbers: it puts the batch dimension there itself, and has a form of its own for texts."""
    return manifest.fixed_batch is None and all(spec.dtype != "string" for spec in manifest.inputs)


def _tensors(row: Row) -> list[dict[str, object]]:
    """The samples that our payloads hold, in its form for tensors."""
    known = reference.load(Artifact(Path(row.cell.target.artifact_path), row.cell.manifest).reference_file)
    samples = [known.slice(number, number + 1)[0] for number in range(len(row.payloads.bodies))]
    return [
        {
            name: {"content": {"b64": base64.b64encode(value.tobytes()).decode()}, "shape": list(value.shape[1:]) or [1]}
            for name, value in sample.items()
        }
        for sample in samples
    ]


def _files(row: Row) -> list[dict[str, object]]:
    """Our payloads, each in a file."""
    found: list[dict[str, object]] = []
    for number, body in enumerate(row.payloads.bodies):
        file = row.work / f"perf_analyzer-{number}.json"
        file.write_bytes(body)
        found.append({"TORCHSERVE_INPUT": [str(file)]})
    return found


WITNESS: Witness = PerfAnalyzer()
