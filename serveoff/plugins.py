"""The contracts of the plug-ins. One file = one plug-in; the file's name is the plug-in's name (`serveoff.registry` finds it).

| kind | folder | attribute | type |
|---|---|---|---|
| model | models/zoo | MODEL | ModelSpec |
| format | export/formats | FORMAT | Format |
| runtime | serving/embedded/runtimes | RUNTIME | Runtime |
| server | serving/servers | SERVER | Server |
| launcher | serving/launchers | LAUNCHER | Launcher |
| protocol | loadtests/protocols | PROTOCOL | WireProtocol |
| profile | loadtests/profiles | PROFILE | loadtests.profiles.Profile |
| witness | loadtests/witnesses | WITNESS | loadtests.witnesses.Witness |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from serveoff import host
from serveoff.contract import Framework, Manifest, Origin, TensorSpec, Tolerance
from serveoff.environment import Environment
from serveoff.launch import Endpoint, LauncherKind, LaunchSpec, Target
from serveoff.model_spec import Array, Dataset, ModelSpec, Sizes, Tensors
from serveoff.results import ErrorClass


@dataclass(frozen=True, slots=True)
class ExportJob:
    """What a format gets: the built model with its weights in it, and the directory `serve/<version>` to write into."""

    spec: ModelSpec
    framework: Origin
    model: Any
    """None where it is made from a float32 artifact."""
    precision: str
    directory: Path
    samples: Tensors


@dataclass(frozen=True, slots=True)
class Source:
    """How a format is made from the models of one framework.

    `export` writes the format's `serve_file` into the job's directory, in the job's precision, and returns the options worth recording.
    """

    precisions: Mapping[str, Tolerance]
    requires: tuple[str, ...]
    """Distributions whose absence makes the format a skip."""
    export: Callable[[ExportJob], Mapping[str, str | int | float | bool]]
    default: bool = True
    """Whether it is made unless the user asks for something else: the whole matrix takes long."""
    programs: tuple[str, ...] = ()
    """Programs whose absence from PATH makes it a skip, too."""
    from_float32: Callable[[ExportJob, Path], Mapping[str, str | int | float | bool]] | None = None
    """Makes another precision from the float32 artifact's version directory, without the framework, where that artifact is there."""
    environment: Environment | None = None
    """The converter's own, whose absence makes it a skip, too."""
    fixed_batch: int | None = None
    """The only batch size that the artifact takes; None when it takes any."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """The other precisions, and why it is not made in them."""

    def missing(self) -> str:
        """What of all that it needs is not here, in words; empty when everything is."""
        own = self.environment.missing() if self.environment else ""
        return "; ".join(words for words in (host.missing(self.requires, self.programs), own) if words)


@dataclass(frozen=True, slots=True)
class Format:
    """An export format: what is written, and what it is made from."""

    sources: Mapping[Framework, Source]
    serve_file: str

    @property
    def precisions(self) -> list[str]:
        return list(dict.fromkeys(p for source in self.sources.values() for p in source.precisions))


@dataclass(frozen=True, slots=True)
class Signature:
    """A callable of a loaded model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class LoadedModel(Protocol):
    """A model in memory. `run` may be called from several threads at once."""

    signatures: Mapping[str, Signature]

    def run(self, signature: str, inputs: Tensors) -> dict[str, Array]:
        """Numpy in, numpy out, all outputs of the signature, by name. Raises ValueError for inputs that do not fit."""
        ...

    def close(self) -> None: ...


class Runtime(Protocol):
    """A runtime loads `directory/serve_file`; `threads` is the number of CPU threads one call may use."""

    serve_file: str
    requires: tuple[str, ...]

    def load(self, directory: Path, threads: int) -> LoadedModel: ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact on disk. `serve_dir` holds the version folders, as TF Serving's `--model_base_path` wants them."""

    directory: Path
    manifest: Manifest

    @property
    def serve_dir(self) -> Path:
        return self.directory / "serve"

    @property
    def version_dir(self) -> Path:
        return self.serve_dir / str(self.manifest.version)

    @property
    def reference_file(self) -> Path:
        """An .npz of `input:NAME`, `output:NAME` (the source model's answers) and `labels`."""
        return self.directory / "reference.npz"


@dataclass(frozen=True, slots=True)
class Metrics:
    """A page of Prometheus' text: the samples as they stand there, each with its labels."""

    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    def sum(self, name: str, /, **labels: str) -> float:
        """Of all samples of this name that have these labels; 0 without any."""
        return sum(value for known, has, value in self.samples if known == name and labels.items() <= has.items())


@dataclass(frozen=True, slots=True)
class Times:
    """What a server has counted since it began: its successful requests, and the seconds of all of them together.

    `total_s` from when it had the request until it had the reply; in it `queue_s`, waiting for the model, and `work_s`, the model's own
    code. None where the server does not tell.
    """

    requests: float
    total_s: float
    queue_s: float | None = None
    work_s: float | None = None


class Server(Protocol):
    """A model server. The reasons are sentences for the user: they end up in the report's skipped list."""

    formats: tuple[str, ...]
    default: bool
    """Whether it serves unless the user asks for something else: the default matrix has five minutes, an image may have gigabytes."""

    def unavailable(self, kind: LauncherKind) -> str | None:
        """Why this server cannot run here in this way; None when it can."""
        ...

    def launch_spec(self, artifact: Artifact, kind: LauncherKind, work: Path, threads: int) -> LaunchSpec:
        """Write what the server needs (an archive, say) into `work`, and say what to run.

        Raises MissingToolError where this one artifact cannot run in this way: it becomes a skip.
        """
        ...

    def times(self, metrics: Metrics, endpoint: Endpoint) -> Times | str:
        """What the metrics page of the launch spec says of this endpoint, or why it says nothing. Only asked where there is a page."""
        ...


class Launcher(Protocol):
    """Runs launch specs. `start` returns at once; readiness is the caller's business (`serving.ready`)."""

    kind: LauncherKind

    def unavailable(self) -> str | None: ...

    def start(self, target_id: str, spec: LaunchSpec, artifact: Artifact, work: Path) -> Target: ...

    def alive(self, target: Target) -> bool: ...

    def exit_reason(self, target: Target) -> str:
        """Why a target that is not alive ended, as far as it can be known: exit code or signal, and the log's last lines."""
        ...

    def stop(self, target: Target) -> None:
        """End it and everything it started, paused or not; a target that has already ended is not an error."""
        ...

    def pause(self, target: Target) -> None:
        """Give it and everything it started no CPU until `resume`. A target that has ended, or is paused, is not an error."""
        ...

    def resume(self, target: Target) -> None:
        """Let a paused target run again; one that has ended, or is not paused, is not an error."""
        ...

    def asleep(self, target: Target) -> bool:
        """Whether it, or something that it started, is paused."""
        ...

    def pin(self, target: Target, cores: Collection[int]) -> None:
        """Let it and everything it started run on these cores of this host only. A target that has ended is not an error.

        Raises ServeoffError where that cannot be done.
        """
        ...

    def processes(self, target: Target) -> list[int] | None:
        """The pids on this host of all that works for the target; None where this host does not see them."""
        ...

    def sweep(self, workspace: Path) -> list[str]:
        """End whatever of this workspace is still running, recorded or not, and say what it was: `serveoff stop` after a crash."""
        ...


class WireProtocol(Protocol):
    """How tensors travel to a server and back. Everything is bytes, so that a load process needs no framework.

    `encoding` is the class within which rows are compared. HTTP: a body is POSTed to `path(endpoint)` with `headers(body)`; gRPC:
    `path(endpoint)` is the full method name. `decode` raises ValueError with the server's own words when the reply is not an answer.
    """

    transport: Literal["http", "grpc"]
    encoding: Literal["json", "binary"]

    def headers(self, body: bytes) -> Mapping[str, str]: ...

    def path(self, endpoint: Endpoint) -> str: ...

    def encode(self, manifest: Manifest, endpoint: Endpoint, inputs: Tensors) -> bytes: ...

    def decode(self, manifest: Manifest, reply: bytes) -> dict[str, Array]: ...

    def meaning(self, status: str, text: str) -> ErrorClass:
        """What an error reply of this server means: its status (`503`, `UNAVAILABLE`), and where that is ambiguous its words."""
        ...


__all__: Sequence[str] = [
    "Array",
    "Artifact",
    "Dataset",
    "ExportJob",
    "Format",
    "Launcher",
    "LoadedModel",
    "Metrics",
    "ModelSpec",
    "Runtime",
    "Server",
    "Signature",
    "Sizes",
    "Source",
    "Tensors",
    "Times",
    "WireProtocol",
]
