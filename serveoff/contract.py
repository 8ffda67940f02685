"""The files that the stages exchange (DESIGN section 1). Strict: an unknown key, a missing key or a wrong type is an error.

Nothing here does anything: reading and writing is in `serveoff.storage`, plug-in contracts are in `serveoff.plugins`. What is run and what
runs is in `serveoff.launch`, what a load test is told and what it found in `serveoff.results`, what training leaves in `serveoff.training`.
Units stand in the names (`_s` seconds, `_us` microseconds, `_bytes`, `_rps` requests per second).
"""

from __future__ import annotations

import math
import re
from typing import Literal

import msgspec

DType = Literal["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string"]
Framework = Literal["pytorch", "keras"]
Origin = Literal["pytorch", "keras", "given"]
"""Where an artifact comes from: a framework's model, or a file that is served as it was given."""

GIVEN: Literal["given"] = "given"
SIGNATURE = "serving_default"


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every stored struct."""


class TensorSpec(Struct, frozen=True, kw_only=True):
    """A named tensor; a `None` in `shape` is the dynamic batch dimension (always the first)."""

    name: str
    dtype: DType
    shape: tuple[int | None, ...]


class HostFacts(Struct, frozen=True, kw_only=True):
    """The machine and the versions that produced a file."""

    cpu_model: str
    logical_cores: int
    memory_bytes: int
    system: str
    python: str
    packages: dict[str, str]


class FileRecord(Struct, frozen=True, kw_only=True):
    """One file of an artifact; `path` is relative to the artifact's directory."""

    path: str
    size_bytes: int
    sha256: str


class Tolerance(Struct, frozen=True, kw_only=True):
    """The parity criterion `|a - b| <= atol + rtol * |reference|`; `source` says where the numbers come from."""

    atol: float
    rtol: float
    source: str
    minimum_equal: float | None = None
    """Of whole numbers, which are decisions of the model's own, in place of the above: the least share that must be equal."""
    minimum_top1: float | None = None
    """For quantised variants, in place of the above: the least share of rows that must decide as the reference does."""
    minimum_kappa: float | None = None
    """With it: the least agreement of decisions beyond chance (`serveoff.parity.kappa`), where there are enough rows to tell."""
    minimum_nearest: float | None = None
    """Enough instead, where rows decide by a hair (random weights): the least share of rows whose answer is nearest to their own."""


class ParityCheck(Struct, frozen=True, kw_only=True):
    """One output compared with its reference on one set of inputs."""

    case: str
    output: str
    batch: int
    max_abs: float | None
    max_rel: float | None
    """None where the values could not be compared: another shape, a NaN."""
    max_ulp: float | None = None
    """The largest difference in units in the last place of the reference's value; None for integers."""
    top1: float | None = None
    """The share of rows (and steps) that decide as the reference does (`serveoff.parity.decisions`)."""
    kappa: float | None = None
    """Where it was asked for: how far the decisions agree beyond chance; None also where nothing can be told."""
    nearest: float | None = None
    """Where it was asked for: the share of rows whose answer is nearer to the reference's than to its answer to any other row."""
    worst_row: int | None = None
    """The row with the largest difference."""
    form_only: bool | None = None
    """Only shape, type and NaN counted, as on a quantised artifact's edge inputs; None where nobody recorded it (older files)."""
    passed: bool
    reason: str = ""


class MetricGate(Struct, frozen=True, kw_only=True):
    """The task metric of the artifact beside the source's; passed when artifact >= minimum_ratio * source."""

    name: str
    source: float
    artifact: float
    minimum_ratio: float
    passed: bool


class Parity(Struct, frozen=True, kw_only=True):
    """The verdict of a parity gate, with its evidence."""

    tolerance: Tolerance
    checks: tuple[ParityCheck, ...]
    metric: MetricGate | None = None

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(c.passed for c in self.checks) and (self.metric is None or self.metric.passed)

    @property
    def max_abs(self) -> float:
        """NaN where something could not be compared."""
        differences = [float("nan") if c.max_abs is None else c.max_abs for c in self.checks]
        return float("nan") if any(map(math.isnan, differences)) else max(differences, default=float("nan"))

    @property
    def agreement(self) -> str:
        """What was judged, at its lowest, where that is no difference of values: `top-1 98.3%` or `nearest 97.0%` of a quantised artifact,
        `equal 99.5%` of one that answers with whole numbers alone, of which a share has to be equal.

        Empty where values were compared, or nobody recorded which checks counted.
        """
        minimum, minimum_kappa = self.tolerance.minimum_top1, self.tolerance.minimum_kappa or 0.0
        shares = [(c.top1, c.nearest, c.kappa) for c in self.checks if c.top1 is not None and not c.form_only]
        if not shares or any(c.form_only is None for c in self.checks):
            return ""
        lowest = min(top1 for top1, _, _ in shares)
        if minimum is None:
            words = self.tolerance.minimum_equal is not None and all(c.max_ulp is None for c in self.checks)
            return f"equal {lowest:.1%}" if words else ""
        failed = [s for s in shares if s[0] < minimum or (s[2] is not None and s[2] < minimum_kappa)]
        near = [nearest for _, nearest, _ in failed if nearest is not None]
        return f"nearest {min(near):.1%}" if near else f"top-1 {lowest:.1%}"

    @property
    def reason(self) -> str:
        """The first thing that failed, in words; empty when the gate passed."""
        for check in self.checks:
            if not check.passed:
                return f"{check.case}, output {check.output}: {check.reason}"
        if self.metric is not None and not self.metric.passed:
            m = self.metric
            return f"{m.name} is {m.artifact:.4f}, below {100 * m.minimum_ratio:.4g}% of the source's {m.source:.4f}"
        return "" if self.checks else "nothing was compared"


class Calls(Struct, frozen=True, kw_only=True):
    """An artifact called in process, without a server: one call after the other, in microseconds."""

    threads: int
    batch: int
    calls: int
    mean_us: float
    p50_us: float
    p99_us: float


class Facts(Struct, frozen=True, kw_only=True):
    """What an artifact takes in a process of its own, with nothing but its runtime: the floor of every server."""

    cold_load_s: float = 0.0
    """In a fresh process, its runtime's import included; the file was in the page cache."""
    first_inference_s: float = 0.0
    resident_bytes: int = 0
    """What the process holds once the model is loaded."""
    latency: tuple[Calls, ...] = ()
    reason: str = ""
    """Why it could not be measured."""


class Manifest(Struct, frozen=True, kw_only=True):
    """One artifact: a model in one format. Written last, so that a directory without it is not an artifact."""

    schema: int = 1
    model: str
    framework: Origin
    format: str
    precision: str
    version: int = 1
    serve_file: str
    """The file or the SavedModel directory's marker, relative to `serve/<version>/`, e.g. `model.onnx`."""
    files: tuple[FileRecord, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    fixed_batch: int | None = None
    """None when the batch is dynamic; else the only batch size the artifact takes."""
    signature: str = SIGNATURE
    """The SavedModel signature that requests name."""
    options: dict[str, str | int | float | bool]
    parity: Parity
    served: Tolerance | None = None
    """For quantised variants, whose `reference.npz` holds their own answers, as the gate accepted them: what a server's may differ."""
    weights_sha256: str
    size_bytes: int
    export_s: float
    """Of the conversion; of what is made from the float32 artifact (`options`: `made_from`), without that one's."""
    peak_memory_bytes: int
    facts: Facts | None = None
    command: tuple[str, ...]
    created_at: str
    host: HostFacts

    @property
    def id(self) -> str:
        return f"{self.model}.{self.framework}.{self.format}.{self.precision}"

    @property
    def served_tolerance(self) -> Tolerance:
        """What a server's answers may differ from `reference.npz`."""
        return self.served or self.parity.tolerance

    @property
    def served_name(self) -> str:
        """What servers call the model: `@` and its like are special in URLs, archives or metrics."""
        return re.sub(r"\W", "_", self.model, flags=re.ASCII)


class ExportFailure(Struct, frozen=True, kw_only=True):
    """Why an artifact does not exist; kept where its manifest would be."""

    schema: int = 1
    artifact_id: str
    reason: str
    log: str
    parity: Parity | None = None


class Skip(Struct, frozen=True, kw_only=True):
    """Something of the matrix that was not run here, and why."""

    stage: str
    what: str
    reason: str


class Skips(Struct, frozen=True, kw_only=True):
    """The skips of one stage's last run."""

    schema: int = 1
    skips: tuple[Skip, ...]
