"""The command line of `tensorflow_model_server`: the same names, defaults and meanings, plus `--host`."""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from serveoff.errors import UsageError
from serveoff.registry import suggestion

_CPUS = os.cpu_count() or 1
_REFUSED = "Refused: "


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Flags:
    """One field per flag."""

    port: int = _flag(8500, "TCP port for gRPC.")
    grpc_socket_path: str = _flag("", "A UNIX socket for gRPC, beside or instead of --port.")
    rest_api_port: int = _flag(0, "Port of the REST API; 0 turns it off.")
    host: str = _flag("127.0.0.1", "Address to listen on (not a flag of tensorflow_model_server, which listens everywhere).")
    rest_api_num_threads: int = _flag(4 * _CPUS, "Calls that run at once in threads of their own (with --grpc_max_threads, the larger).")
    grpc_max_threads: int = _flag(4 * _CPUS, "See --rest_api_num_threads.")
    rest_api_timeout_in_ms: int = _flag(30000, "Time limit of a REST call.")
    rest_api_enable_cors_support: bool = _flag(False, "Send CORS headers.")
    model_name: str = _flag("default", "Name of the model; ignored with --model_config_file.")
    model_base_path: str = _flag("", "Directory of the version folders; ignored with --model_config_file.")
    model_config_file: str = _flag("", "Text ModelServerConfig: several models, version policies, labels.")
    model_config_file_poll_wait_seconds: int = _flag(0, "Seconds between looks at that file; 0 reads it once.")
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between looks for new versions; 0 looks once, a negative value never.")
    max_num_load_retries: int = _flag(5, "How often a failed load is tried again.")
    load_retry_interval_micros: int = _flag(60_000_000, "Time between these tries.")
    num_load_threads: int = _flag(0, "Loads that go on at once; 0 means four times the CPUs.")
    num_unload_threads: int = _flag(0, "Accepted; every unload has a thread of its own.")
    flush_filesystem_caches: bool = _flag(True, "Accepted; there is no such cache here.")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "New labels may point at versions that are not loaded.")
    enable_batching: bool = _flag(False, "Run the calls of several clients together.")
    batching_parameters_file: str = _flag("", "Text BatchingParameters; needs --enable_batching.")
    enable_per_model_batching_parameters: bool = _flag(False, "Read VERSION/batching_params.pbtxt.")
    monitoring_config_file: str = _flag("", "Text MonitoringConfig: Prometheus metrics on the REST port.")
    tensorflow_session_parallelism: int = _flag(0, "Threads of one call, in every runtime; 0 means as many as CPUs.")
    tensorflow_intra_op_parallelism: int = _flag(0, "The same for work within an operation; not together with the session flag.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Accepted; calls here run their operations one after the other.")
    enable_model_warmup: bool = _flag(True, "Replay VERSION/assets.extra/tf_serving_warmup_requests before a version answers.")
    num_request_iterations_for_warmup: int = _flag(0, "How often each recorded request is replayed; 0 means once.")
    prefer_tflite_model: bool = _flag(False, "Prefer model.tflite over saved_model.pb in a version folder that has both.")
    num_tflite_pools: int = _flag(_CPUS, "Accepted; the pool has as many interpreters as CPUs.")
    num_tflite_interpreters_per_pool: int = _flag(1, "Accepted; see --num_tflite_pools.")
    enable_serialization_as_tensor_content: bool = _flag(False, "gRPC replies carry tensor_content instead of typed fields.")
    enable_grpc_healthcheck_service: bool = _flag(False, "Answer grpc.health.v1.")
    enable_signature_method_name_check: bool = _flag(False, _REFUSED + "TF2 exports would fail it.")
    enable_profiler: bool = _flag(True, "Accepted; there is no profiler service here.")
    grpc_channel_arguments: str = _flag("", "Arguments of the gRPC server, name=value,name=value.")
    ssl_config_file: str = _flag("", "Text SSLServerConfig: TLS for gRPC.")
    saved_model_tags: str = _flag("serve", _REFUSED + "other tags than serve.")
    tensorflow_session_config_file: str = _flag("", _REFUSED + "use --tensorflow_session_parallelism.")
    xla_cpu_compilation_enabled: bool = _flag(False, _REFUSED + "there is no XLA here.")
    mixed_precision: str = _flag("", _REFUSED + "export the model in the wanted precision.")
    per_process_gpu_memory_fraction: str = _flag("0", "Accepted; runs on CPUs.")
    total_model_memory_limit_bytes: int = _flag(0, "Accepted; the limit is the machine's.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "Accepted.")
    version: bool = _flag(False, "Show the version and leave.")

    @property
    def threads(self) -> int:
        return self.tensorflow_session_parallelism or self.tensorflow_intra_op_parallelism or _CPUS


def parse(arguments: list[str], environment: Mapping[str, str]) -> tuple[Flags, list[str]]:
    """The flags, and what was not understood (reported and ignored, as tensorflow_model_server does). Raises UsageError.

    Where no model is named, MODEL_NAME and MODEL_BASE_PATH count as they do in TF Serving's image.
    """
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
    if not values.get("model_base_path") and not values.get("model_config_file"):
        values.update(_from_image(values, environment))
    flags = Flags(**values)
    _check(flags)
    return flags, unknown


def _from_image(values: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    if not environment.keys() & {"MODEL_NAME", "MODEL_BASE_PATH"}:
        return {}
    name = values.get("model_name") or environment.get("MODEL_NAME") or "model"
    return {"model_name": name, "model_base_path": f"{environment.get('MODEL_BASE_PATH') or '/models'}/{name}"}


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


def _check(flags: Flags) -> None:
    if flags.version:
        return
    for f in fields(Flags):
        if f.metadata["help"].startswith(_REFUSED) and getattr(flags, f.name) != f.default:
            raise UsageError(f"--{f.name} is not supported", hint=f.metadata["help"].removeprefix(_REFUSED))
    if flags.tensorflow_session_parallelism and (flags.tensorflow_intra_op_parallelism or flags.tensorflow_inter_op_parallelism):
        raise UsageError("--tensorflow_session_parallelism excludes the flags --tensorflow_intra_op_parallelism and _inter_op_parallelism")
    if flags.port == 0 and not flags.grpc_socket_path:
        raise UsageError("--port is 0 and there is no --grpc_socket_path: nothing to listen on for gRPC")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise UsageError("--batching_parameters_file is set without setting --enable_batching to true.")
    if not flags.model_base_path and not flags.model_config_file:
        raise UsageError("--model_base_path is missing", hint="name the directory of the version folders, e.g. /models/m for /models/m/1")


def usage() -> str:
    lines = ["usage: serveoff-model-server [flags]", "Flags:"]
    lines += [f"  --{f.name}={_shown(f)}\t{f.metadata['help']}" for f in fields(Flags)]
    return "\n".join(lines)


def _shown(f: Field[Any]) -> str:
    return str(f.default).lower() if isinstance(f.default, bool) else repr(f.default)


def unknown_text(argument: str) -> str:
    name = argument.removeprefix("--").partition("=")[0]
    return f"unknown argument: {argument} ({suggestion(name, [f.name for f in fields(Flags)])})"
