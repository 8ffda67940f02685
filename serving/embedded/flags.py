"""The command line of `tensorflow_model_server`: the same names, defaults and meanings, plus `--host`."""

from __future__ import annotations

import os
import typing
from dataclasses import Field, dataclass, field, fields
from typing import Any

from serveoff.errors import UsageError
from serveoff.registry import suggestion

_CPUS = os.cpu_count() or 1


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Flags:
    """One field per flag."""

    port: int = _flag(8500, "TCP port to listen on for gRPC.")
    rest_api_port: int = _flag(0, "Port to listen on for the REST API; 0 turns it off.")
    host: str = _flag("127.0.0.1", "Address to listen on (not a flag of tensorflow_model_server, which listens everywhere).")
    rest_api_timeout_in_ms: int = _flag(30000, "Time limit of a REST call.")
    model_name: str = _flag("default", "Name of the model; ignored with --model_config_file.")
    model_base_path: str = _flag("", "Directory of the version folders; ignored with --model_config_file.")
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between looks for new versions; 0 looks once, a negative value never.")
    max_num_load_retries: int = _flag(5, "How often a failed load is tried again.")
    load_retry_interval_micros: int = _flag(60_000_000, "Time between these tries.")
    rest_api_enable_cors_support: bool = _flag(False, "Send CORS headers.")
    prefer_tflite_model: bool = _flag(False, "Prefer model.tflite over saved_model.pb in a version folder that has both.")
    tensorflow_session_parallelism: int = _flag(0, "Threads of one call, in every runtime; 0 means as many as CPUs.")
    tensorflow_intra_op_parallelism: int = _flag(0, "The same for work within an operation; not together with the session flag.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Accepted; calls here run their operations one after the other.")
    enable_serialization_as_tensor_content: bool = _flag(False, "gRPC replies carry tensor_content instead of typed fields.")

    @property
    def threads(self) -> int:
        return self.tensorflow_session_parallelism or self.tensorflow_intra_op_parallelism or _CPUS


def parse(arguments: list[str]) -> tuple[Flags, list[str]]:
    """The flags, and what was not understood (reported and ignored, as tensorflow_model_server does). Raises UsageError for a bad value."""
    types = typing.get_type_hints(Flags)
    known = {f.name: types[f.name] for f in fields(Flags)}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, given, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in known:
            unknown.append(argument)
            continue
        if not given:
            text = "true" if known[name] is bool else next(rest, "")
        values[name] = _value(name, known[name], text)
    flags = Flags(**values)
    if flags.tensorflow_session_parallelism and (flags.tensorflow_intra_op_parallelism or flags.tensorflow_inter_op_parallelism):
        raise UsageError("--tensorflow_session_parallelism excludes the flags --tensorflow_intra_op_parallelism and _inter_op_parallelism")
    return flags, unknown


def _value(name: str, kind: type, text: str) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() not in ("true", "1", "false", "0"):
            raise UsageError(f"--{name} is {text!r}, which is neither true nor false")
        return text.lower() in ("true", "1")
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--{name} is {text!r}, which is not a whole number") from None


def usage() -> str:
    lines = ["usage: serveoff-model-server [flags]", "Flags:"]
    lines += [f"  --{f.name}={_shown(f)}\t{f.metadata['help']}" for f in fields(Flags)]
    return "\n".join(lines)


def _shown(f: Field[Any]) -> str:
    return str(f.default).lower() if isinstance(f.default, bool) else repr(f.default)


def unknown_text(argument: str) -> str:
    name = argument.removeprefix("--").partition("=")[0]
    return f"unknown argument: {argument} ({suggestion(name, [f.name for f in fields(Flags)])})"
