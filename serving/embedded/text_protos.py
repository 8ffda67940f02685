"""The server's text-proto files: models, batching, monitoring, TLS.

Three of the messages are in no pip package; they are described here at run time, with TF Serving's field names (in text, numbers do not
matter).
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from serveoff.wire import tfs_pb2 as pb

from .status import ServingError, invalid, not_found

_FIELDS: dict[str, dict[str, str]] = {
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "int64s",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "SSLServerConfig": {"server_key": "string", "server_cert": "string", "custom_ca": "string", "client_verify": "bool"},
}
_PACKAGE = "serveoff.embedded"


@functools.cache
def _classes() -> dict[str, Any]:
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": kinds.TYPE_BOOL, "string": kinds.TYPE_STRING, "int64s": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="serveoff/embedded.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, described in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (key, kind) in enumerate(described.items(), 1):
            label = kinds.LABEL_REPEATED if kind.endswith("64s") else kinds.LABEL_OPTIONAL
            row = message.field.add(name=key, number=number, label=label)
            if kind in scalars:
                row.type = scalars[kind]
            else:
                row.type = kinds.TYPE_MESSAGE
                row.type_name = f".{_PACKAGE}.{kind}" if kind in _FIELDS else f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


def parse(kind: str, text: str, source: str) -> Any:
    """The message `kind` (one of this file, or of tfs.proto) in text form. Raises ServingError that names `source` and the place."""
    known: Any = getattr(pb, kind, None) or _classes()[kind]
    try:
        return text_format.Parse(text, known())
    except text_format.ParseError as error:
        raise invalid(f"Invalid protobuf file: '{source}': {error}") from None


def read(kind: str, path: str) -> Any:
    """`parse` of a file. Raises ServingError."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        failure: ServingError = not_found(f"{path}; {reason}")
        raise failure from None
    return parse(kind, text, path)
